"""What a protocol asks for, from timm's factories: optimiser, schedule, mixup, the average of the weights.

An operator may have a say in its own training through two hooks, both optional, looked for in every submodule:

- `penalty()`: a scalar added to the loss; see `objective`.
- `lr_scale`: a mapping such as {"mask": 0.1} from prefixes of the module's parameter names to factors on the learning rate.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from bench.spec import Training
from bench.training.objective import Criterion

SCHEDULES = ("cosine", "multistep")


def schedule(network: nn.Module, protocol: Training, lr: float, epochs: int, steps: int) -> tuple[torch.optim.Optimizer, Any]:
    """Optimiser and schedule: a linear warm-up, then a cosine to 0 or a drop at each milestone, set anew at each step.

    A warm-up of more than half of the epochs, as a short search has, is cut to half of them. Raises ValueError for another schedule
    or an optimiser that timm does not know.
    """
    if protocol.schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, not {protocol.schedule!r}")
    # timm costs seconds and marks no exports
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
    """Groups of equal decay and `lr_scale` (which timm's schedulers multiply in).

    No decay for vectors and scalars, nor for what the network names in `no_weight_decay()`, unless `decay_all`.
    """
    spared: set[str] = getattr(network, "no_weight_decay", set)()
    scales = lr_scales(network)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        decay = weight_decay if decay_all or (parameter.ndim > 1 and name not in spared) else 0.0
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


def mixing(protocol: Training, classes: int, batch: int) -> Any:
    """timm's mixup and cutmix of a batch and its labels, or None.

    The `batch` images of a process mix with each other: raises ValueError where their number is odd.
    """
    if not protocol.mixup and not protocol.cutmix:
        return None
    if batch % 2:
        raise ValueError(f"mixup and cutmix need an even batch in each process, not {batch}")
    from timm.data import Mixup  # type: ignore[attr-defined]

    return Mixup(protocol.mixup, protocol.cutmix, label_smoothing=protocol.smoothing, num_classes=classes)


def criterion(protocol: Training) -> Criterion:
    """Cross entropy; labels are smoothed here unless mixing does it."""
    smoothing = 0.0 if protocol.mixup or protocol.cutmix else protocol.smoothing
    return lambda logits, labels: F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)


def average(protocol: Training, network: nn.Module) -> Any:
    """timm's exponential moving average of the weights, to be evaluated in place of the network, or None.

    Its decay grows to the protocol's over the first steps, or a short training would be averaged with its beginning.
    """
    if not protocol.ema:
        return None
    from timm.utils import ModelEmaV3  # type: ignore[attr-defined]

    return ModelEmaV3(network, decay=protocol.ema, use_warmup=True)
