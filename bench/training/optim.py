"""Create the optimiser, schedule, mixup and weight average of a protocol with timm's factories.

An operator may influence its training through two optional hooks of `methods.hooks`, which are searched for in every submodule:
`penalty()` (see `objective`) and `lr_scale`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from bench.spec import Training
from bench.training.objective import Criterion
from methods.hooks import lr_scale_of, no_weight_decay_of

SCHEDULES = ("cosine", "multistep")


def schedule(network: nn.Module, protocol: Training, lr: float, epochs: int, steps: int) -> tuple[torch.optim.Optimizer, Any]:
    """Return the optimiser and the schedule: a linear warm-up, then a cosine to 0 or a drop at each milestone, updated per step.

    The warm-up is at most half of the epochs, which matters in a short search. Raises ValueError for an unknown schedule or an
    optimiser that timm does not know.
    """
    if protocol.schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, not {protocol.schedule!r}")
    # imported here because it takes seconds; timm does not declare its exports
    from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]
    from timm.scheduler import create_scheduler_v2  # type: ignore[attr-defined]

    groups = parameter_groups(network, protocol.weight_decay, protocol.decay_all)
    optimizer = create_optimizer_v2(groups, opt=protocol.optimizer, lr=lr)
    scheduler, _ = create_scheduler_v2(
        optimizer,
        sched=protocol.schedule,
        num_epochs=epochs,
        decay_milestones=list(protocol.milestones),
        warmup_epochs=min(protocol.warmup, epochs // 2),
        warmup_lr=lr / 100,
        step_on_epochs=False,
        updates_per_epoch=steps,
    )
    return optimizer, scheduler


def parameter_groups(network: nn.Module, weight_decay: float, decay_all: bool = False) -> list[dict[str, Any]]:
    """Return parameter groups of equal weight decay and `lr_scale`, by which timm's schedulers multiply the learning rate.

    Vectors, scalars and the parameters named by the network's `no_weight_decay()` do not decay, unless `decay_all`.
    """
    excluded = no_weight_decay_of(network)
    scales = lr_scales(network)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        decay = weight_decay if decay_all or (parameter.ndim > 1 and name not in excluded) else 0.0
        groups.setdefault((decay, scales.get(parameter, 1.0)), []).append(parameter)
    return [{"params": members, "weight_decay": decay, "lr_scale": scale} for (decay, scale), members in groups.items()]


def lr_scales(network: nn.Module) -> dict[nn.Parameter, float]:
    """Return the learning-rate factors of parameters by their modules' `lr_scale`. The innermost module takes precedence."""
    return {
        parameter: factor
        for module in network.modules()
        for prefix, factor in lr_scale_of(module).items()
        for name, parameter in module.named_parameters()
        if name.startswith(prefix)
    }


def mixing(protocol: Training, classes: int, batch: int) -> Any:
    """Return timm's mixup and cutmix, or None if the protocol uses neither.

    `batch` is the number of images per process, which are mixed in pairs. Raises ValueError if it is odd.
    """
    if not protocol.mixup and not protocol.cutmix:
        return None
    if batch % 2:
        raise ValueError(f"mixup and cutmix need an even batch in each process, not {batch}")
    from timm.data import Mixup  # type: ignore[attr-defined]

    return Mixup(protocol.mixup, protocol.cutmix, label_smoothing=protocol.smoothing, num_classes=classes)


def criterion(protocol: Training) -> Criterion:
    """Return the cross entropy. It smooths the labels unless mixup or cutmix does."""
    smoothing = 0.0 if protocol.mixup or protocol.cutmix else protocol.smoothing
    return lambda logits, labels: F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)


def average(protocol: Training, network: nn.Module) -> Any:
    """Return timm's exponential moving average of the weights, or None if the protocol has none.

    Its decay increases to that of the protocol over the first steps. Otherwise the initial weights would dominate a short training.
    """
    if not protocol.ema:
        return None
    from timm.utils import ModelEmaV3  # type: ignore[attr-defined]

    return ModelEmaV3(network, decay=protocol.ema, use_warmup=True)
