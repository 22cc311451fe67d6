"""Named training protocols: those of the methods' papers, and a short one for a CPU. Imports no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, get_type_hints

from bench.spec import Training
from methods.registry import did_you_mean

# ConvNeXt on ImageNet (https://arxiv.org/abs/2201.03545), also used for NIFF's networks. Its drop path is an option of the network.
CONVNEXT = Training(
    res=224,
    batch=4096,
    epochs=300,
    lr=(4e-3,),
    weight_decay=0.05,
    warmup=20,
    augment="rand-m9-mstd0.5-inc1",
    erase=0.25,
    mixup=0.8,
    cutmix=1.0,
    smoothing=0.1,
    ema=0.9999,
    dtype="bf16",
    channels_last=True,
)

# Deeply shared filter bases on CIFAR (https://arxiv.org/abs/2006.05066): plain momentum, all parameters decay
SHARED_BASIS = Training(
    res=32,
    batch=256,
    epochs=300,
    optimizer="momentum",
    lr=(0.1,),
    weight_decay=5e-4,
    decay_all=True,
    schedule="multistep",
    milestones=(150, 225),
    warmup=0,
    augment="flip",
)

RECIPES: dict[str, Training] = {
    "quick": Training(),
    # FlexConv on CIFAR-10 (https://arxiv.org/abs/2110.08059); SIREN kernels take lr=0.001
    "flexnet": Training(res=32, batch=64, epochs=350, optimizer="adam", lr=(1e-2,), weight_decay=0.0, warmup=5, augment="flip"),
    # DFFormer on ImageNet (https://arxiv.org/abs/2303.03932): ConvNeXt's augmentation
    "dfformer": replace(CONVNEXT, batch=1024, lr=(1e-3,), ema=0.0, channels_last=False),
    "convnext": CONVNEXT,
    "shared_basis": SHARED_BASIS,
    "shared_basis_imagenet": replace(SHARED_BASIS, res=224, epochs=150, weight_decay=1e-4, milestones=(60, 100, 140)),
}
HINTS = get_type_hints(Training)
FIELDS = [field.name for field in fields(Training) if field.name != "data"]  # `data` has its own flag
SWITCH = {"true": True, "false": False}
TIME = {"s": 1, "min": 60, "h": 3600}
CHOICES = {"schedule": ("cosine", "multistep"), "dtype": ("fp32", "bf16")}
POSITIVE = ("res", "eval_res", "batch", "epochs", "seconds", "lr", "search_epochs", "milestones")  # all other numbers may be 0
FRACTIONS = ("erase", "smoothing", "ema")  # at most 1


def summary(name: str) -> str:
    """Return a one-line summary of a recipe."""
    recipe = RECIPES[name]
    rates = " or ".join(f"{rate:g}" for rate in recipe.lr)
    return f"{recipe.res} px, {recipe.epochs} epochs of batch {recipe.batch}, {recipe.optimizer}, lr {rates}, {recipe.schedule}"


def with_overrides(recipe: str, overrides: Iterable[str]) -> Training:
    """Return a recipe with overrides FIELD=VALUE. Raises ValueError for an unknown recipe or field, or an invalid value."""
    if recipe not in RECIPES:
        raise ValueError(f"unknown recipe '{recipe}'{did_you_mean(recipe, RECIPES)} (known: {', '.join(RECIPES)})")
    values: dict[str, Any] = {}
    for text in overrides:
        name, _, value = text.partition("=")
        if name not in FIELDS:
            raise ValueError(f"--train {text!r}: no setting '{name}'{did_you_mean(name, FIELDS)} (settings: {', '.join(FIELDS)})")
        try:
            values[name] = _converted(name, value)
        except ValueError as error:
            raise ValueError(f"--train {text!r}: {value!r} is not a valid {name}{_hint(name)}") from error
    return replace(RECIPES[recipe], **values)


def _hint(name: str) -> str:
    return f" ({', '.join(CHOICES[name])})" if name in CHOICES else ""


def _converted(name: str, text: str) -> Any:
    """Parse the value of a setting. Raises ValueError if it is invalid."""
    hint = HINTS[name]
    if hint is bool:
        if text not in SWITCH:
            raise ValueError(text)
        return SWITCH[text]
    if hint is str:
        if not text or text not in CHOICES.get(name, (text,)):
            raise ValueError(text)
        return text
    if hint in (int, float):
        return _number(name, hint, text)
    if hint == float | None:
        return _number(name, float, text)
    values = tuple(_number(name, hint.__args__[0], part) for part in text.split(",") if text)
    if len(set(values)) < len(values) or (name == "lr" and not values):
        raise ValueError(text)
    return values


def _number(name: str, kind: Callable[[str], float], text: str) -> float:
    value = kind(text)
    if not math.isfinite(value) or value < 0 or (name in POSITIVE and not value) or (name in FRACTIONS and value > 1):
        raise ValueError(text)
    return value


@dataclass(frozen=True)
class Changes:
    """Changes of a recipe: settings SETTING=VALUE, a budget, the resolutions of training and of further evaluations."""

    settings: tuple[str, ...] = ()
    budget: str | None = None
    res: int | None = None
    eval_res: tuple[int, ...] = ()


def protocol(recipe: str, changes: Changes) -> Training:
    """Return the training protocol of a recipe with changes. Raises ValueError. Imports timm only to check an optimizer."""
    changed = with_overrides(recipe, changes.settings)
    if changes.budget:
        changed = replace(changed, **parse_budget(changes.budget))
    changed = replace(changed, res=changes.res or changed.res, eval_res=changes.eval_res or changed.eval_res)
    if any(text.startswith("optimizer=") for text in changes.settings):
        check_optimizer(changed.optimizer)
    return validated(changed)


def check_optimizer(name: str) -> None:
    """Raise ValueError for an optimizer that timm does not have. Imports torch and timm."""
    import timm.optim

    known: list[str] = timm.optim.list_optimizers()  # type: ignore[attr-defined,assignment]
    if name.lower().removeprefix("lookahead_") not in known:
        raise ValueError(f"--train optimizer={name}: timm has no such optimizer{did_you_mean(name, known)}")


def validated(protocol: Training) -> Training:
    """Return the protocol. Raises ValueError if a milestone lies beyond the last epoch or the number of epochs is unknown."""
    late = [milestone for milestone in protocol.milestones if milestone >= protocol.epochs and protocol.seconds is None]
    if protocol.schedule == "multistep" and (late or protocol.seconds is not None):
        raise ValueError(f"milestones {protocol.milestones} do not fit the budget: give --train milestones=... or another schedule")
    return protocol


def parse_budget(text: str) -> dict[str, Any]:
    """Parse a budget: "epochs=20", or a time such as "60s", which is used for as many epochs as fit. Raises ValueError."""
    if match := re.fullmatch(r"epochs=([1-9][0-9]*)", text):
        return {"epochs": int(match[1]), "seconds": None}
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)(s|min|h)", text)
    if not match or not float(match[1]):
        raise ValueError(f"--budget {text!r} is neither a time such as 60s nor epochs=20")
    return {"seconds": float(match[1]) * TIME[match[2]]}
