"""Batch norms over the batch of all processes: what a network computes does not depend on how many train it.

torch's SyncBatchNorm declines tensors of a CPU and takes the place of modules; this takes the place of the function that every
batch norm calls, those inside operators and libraries' own classes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from bench.training import distributed as ranks


def joined() -> AbstractContextManager[Any]:
    """While active, `F.batch_norm` in training uses the statistics of the batches of all processes, of equal size."""
    return _Joined() if ranks.together() else nullcontext()


class _Joined(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return (batch_norm if func is F.batch_norm else func)(*args, **(kwargs or {}))


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`F.batch_norm` of x (B, C, ...), mean and variance over all processes, in single precision; updates the running ones."""
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    shape = (1, -1, *(1,) * (x.ndim - 2))
    values = x.float()
    mean, variance = statistics(values)
    if running_mean is not None and running_var is not None:
        count = x.numel() // x.shape[1] * ranks.world()
        running_mean.lerp_(mean.detach().to(running_mean.dtype), momentum)
        running_var.lerp_((variance.detach() * (count / (count - 1))).to(running_var.dtype), momentum)
    y = (values - mean.view(shape)) * (variance + eps).rsqrt().view(shape)
    y = y if weight is None else y * weight.view(shape)
    y = y if bias is None else y + bias.view(shape)
    return y.to(x.dtype)


def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (C) of the values (B, C, ...) of all processes, from those of each: the squares are of differences."""
    dims = [dim for dim in range(x.ndim) if dim != 1]
    variance, mean = torch.var_mean(x, dims, correction=0)
    own = torch.arange(ranks.world(), device=x.device) == ranks.rank()
    means, variances = ranks.Total.apply(own[:, None, None] * torch.stack((mean, variance))).unbind(1)  # (processes, C) each
    mean = means.mean(0)
    return mean, (variances + (means - mean).square()).mean(0)
