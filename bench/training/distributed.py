"""Operations of several processes that train one network. In a single process they have no effect."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def is_distributed() -> bool:
    """Return whether this process is one of several."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    return dist.get_rank() if is_distributed() else 0


def world() -> int:
    return dist.get_world_size() if is_distributed() else 1


def total(values: Tensor) -> Tensor:
    """Return the sum over all processes, without gradient."""
    if is_distributed():
        values = values.clone()
        dist.all_reduce(values)
    return values


def from_rank_0(value: float, device: torch.device | str) -> float:
    """Return the value of rank 0, so that decisions that depend on a clock are the same in all processes."""
    return float(total(torch.tensor(0.0 if rank() else value, dtype=torch.float64, device=device)))


class Total(torch.autograd.Function):
    """The sum over all processes. Its gradient is the sum of the gradients of all processes."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return total(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return total(gradients[0].contiguous())


def replicated(objective: nn.Module) -> nn.Module:
    """Wrap the objective so that the gradients of its parameters are averaged over all processes."""
    if not is_distributed():
        return objective
    device = next(objective.parameters()).device
    devices = [device] if device.type == "cuda" else None
    # an unused weight has no gradient, for which DistributedDataParallel would wait
    return nn.parallel.DistributedDataParallel(objective, device_ids=devices, find_unused_parameters=True)
