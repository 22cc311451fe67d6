"""Several processes that train one network together; alone, each of these does nothing."""

from __future__ import annotations

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
    """The sum over all processes."""
    if together():
        values = values.clone()
        dist.all_reduce(values)
    return values


def replicated(network: nn.Module) -> nn.Module:
    """The network as it trains: its gradients averaged over all processes."""
    if not together():
        return network
    place = next(network.parameters()).device
    return torch.nn.parallel.DistributedDataParallel(network, device_ids=[place] if place.type == "cuda" else None)
