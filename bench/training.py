"""One plain training loop, the same for every method and data set.

An operator may have a say in its own training through two hooks, both optional, looked for in every submodule:

- `penalty()`: a scalar added to the loss; a regulariser is part of its method. Only the outermost module is asked.
- `lr_scale`: a mapping such as {"mask": 0.1} from prefixes of the module's parameter names to factors on the learning rate.

The length is a number of epochs, so the result does not depend on the speed of the machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from bench.spec import Training

EVAL_BATCH = 256


class Diverged(ArithmeticError):
    """The loss is no longer a finite number; the text names the step."""


class Epoch(NamedTuple):
    """Means over the steps of an epoch, and its wall time."""

    loss: float  # cross entropy
    penalty: float
    seconds: float


def train(network: nn.Module, data: TensorDataset, protocol: Training, seed: int) -> Iterator[Epoch]:
    """Train in place, one epoch for each step of the iterator. `data` lies on the network's device. Raises `Diverged`."""
    steps = max(1, len(data) // protocol.batch)  # the remainder is left out: a batch norm cannot train on one image
    optimizer, scheduler = schedule(network, protocol, steps)
    for epoch in range(protocol.epochs):
        start = time.perf_counter()
        network.train()
        torch.manual_seed(seed * 10_000 + epoch)  # anew each epoch: other jobs of this process may draw between two
        totals = torch.zeros(2, dtype=torch.float64)
        order = torch.randperm(len(data))[: steps * protocol.batch]
        for step, batch in enumerate(order.split(protocol.batch), start=epoch * steps):
            images, labels = data[batch]
            totals += torch.tensor(update(network, optimizer, images, labels, step))
            scheduler.step_update(step + 1)
        loss, penalty = (totals / steps).tolist()
        yield Epoch(loss, penalty, time.perf_counter() - start)


def update(network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor, step: int) -> tuple[float, float]:
    """One step; gives the cross entropy and the penalty before it. Raises `Diverged`."""
    loss = F.cross_entropy(network(images), labels)
    penalty = sum(penalties(network), loss.new_zeros(()))
    values = loss.item(), penalty.item()
    if not all(map(math.isfinite, values)):
        raise Diverged(f"step {step}: cross entropy {values[0]}, penalty {values[1]}")
    optimizer.zero_grad()
    (loss + penalty).backward()
    optimizer.step()
    return values


def penalties(module: nn.Module) -> Iterator[Tensor]:
    """The regularisers of the outermost modules that have one."""
    penalty = getattr(module, "penalty", None)
    if penalty is not None:
        yield penalty()
        return
    for child in module.children():
        yield from penalties(child)


def schedule(network: nn.Module, protocol: Training, steps: int) -> tuple[torch.optim.Optimizer, Any]:
    """AdamW and a cosine to 0 after a linear warm-up, set anew at each of `steps` steps an epoch."""
    # timm costs seconds and marks no exports
    from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]
    from timm.scheduler import create_scheduler_v2  # type: ignore[attr-defined]

    optimizer = create_optimizer_v2(parameter_groups(network, protocol.weight_decay), opt="adamw", lr=protocol.lr)
    scheduler, _ = create_scheduler_v2(
        optimizer,
        sched="cosine",
        num_epochs=protocol.epochs,
        warmup_epochs=protocol.warmup,
        warmup_lr=protocol.lr / 100,
        step_on_epochs=False,
        updates_per_epoch=steps,
    )
    return optimizer, scheduler


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Groups of equal decay and `lr_scale` (which timm's schedulers multiply in).

    No decay for vectors and scalars, nor for what the network names in `no_weight_decay()`.
    """
    spared: set[str] = getattr(network, "no_weight_decay", set)()
    scales = lr_scales(network)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        decay = 0.0 if parameter.ndim < 2 or name in spared else weight_decay
        groups.setdefault((decay, scales.get(parameter, 1.0)), []).append(parameter)
    return [{"params": members, "weight_decay": decay, "lr_scale": scale} for (decay, scale), members in groups.items()]


def lr_scales(network: nn.Module) -> dict[nn.Parameter, float]:
    """Parameters whose module has a factor for their learning rate; of two such modules the inner one counts."""
    return {
        parameter: factor
        for module in network.modules()
        for prefix, factor in getattr(module, "lr_scale", {}).items()
        for name, parameter in module.named_parameters()
        if name.startswith(prefix)
    }


@torch.inference_mode()
def top1(network: nn.Module, data: TensorDataset) -> float:
    """Percent of images whose largest logit is at their label, in evaluation mode."""
    network.eval()
    images, labels = data.tensors
    correct = sum(int((network(x).argmax(1) == y).sum()) for x, y in zip(images.split(EVAL_BATCH), labels.split(EVAL_BATCH)))
    return 100 * correct / len(data)
