"""Batch normalisation over the batches of all processes, so that the result does not depend on the number of processes.

torch's SyncBatchNorm does not support CPU tensors and replaces modules. This module replaces the function `F.batch_norm`, which all
batch norms call, including those inside operators and of other libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from bench.training import distributed


def synchronised_batchnorm() -> AbstractContextManager[Any]:
    """Return a context in which `F.batch_norm` in training uses the statistics of all processes, whose batches have equal size."""
    return _Synchronised() if distributed.is_distributed() else nullcontext()


class _Synchronised(TorchFunctionMode):
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
    """Normalise x (B, C, ...) by the mean and variance over all processes, in single precision. Updates the running statistics."""
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    shape = (1, -1, *(1,) * (x.ndim - 2))
    values = x.float()
    mean, variance = statistics(values)
    if running_mean is not None and running_var is not None:
        count = x.numel() // x.shape[1] * distributed.world()
        running_mean.lerp_(mean.detach().to(running_mean.dtype), momentum)
        running_var.lerp_((variance.detach() * (count / (count - 1))).to(running_var.dtype), momentum)
    y = (values - mean.view(shape)) * (variance + eps).rsqrt().view(shape)
    y = y if weight is None else y * weight.view(shape)
    y = y if bias is None else y + bias.view(shape)
    return y.to(x.dtype)


def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and variance (C) of the values (B, C, ...) of all processes.

    They follow from those of each process. Squares are taken of differences only, for accuracy.
    """
    dims = [dim for dim in range(x.ndim) if dim != 1]
    variance, mean = torch.var_mean(x, dims, correction=0)
    own = torch.arange(distributed.world(), device=x.device) == distributed.rank()
    means, variances = distributed.Total.apply(own[:, None, None] * torch.stack((mean, variance))).unbind(1)  # (processes, C) each
    mean = means.mean(0)
    return mean, (variances + (means - mean).square()).mean(0)
