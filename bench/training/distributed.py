"""Several processes that train one network together; alone, each of these does nothing."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def together() -> bool:
    """Whether this process is one of several."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    return dist.get_rank() if together() else 0


def world() -> int:
    return dist.get_world_size() if together() else 1


def total(values: Tensor) -> Tensor:
    """The sum over all processes, without gradient."""
    if together():
        values = values.clone()
        dist.all_reduce(values)
    return values


def of_first(value: float, device: torch.device | str) -> float:
    """The first process's value, for what depends on a clock: all go on alike."""
    return float(total(torch.tensor(0.0 if rank() else value, dtype=torch.float64, device=device)))


class Total(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of all processes' gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return total(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return total(gradients[0].contiguous())


def replicated(objective: nn.Module) -> nn.Module:
    """The objective as it trains: the gradients of its parameters are averaged over all processes."""
    if not together():
        return objective
    place = next(objective.parameters()).device
    devices = [place] if place.type == "cuda" else None
    # a weight without effect has no gradient, and would be waited for
    return nn.parallel.DistributedDataParallel(objective, device_ids=devices, find_unused_parameters=True)
