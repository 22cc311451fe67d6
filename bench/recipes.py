"""Named training protocols: how the methods' papers train, and a short one for a CPU. No torch here."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any, get_type_hints

from bench.options import nearest
from bench.spec import Training

RECIPES: dict[str, Training] = {
    "quick": Training(),
    # FlexConv on CIFAR-10 (https://arxiv.org/abs/2110.08059), but for its "Adam" of no decay
    "flexnet": Training(res=32, batch=64, epochs=350, optimizer="adam", lr=(1e-2,), weight_decay=0.0, warmup=5, augment="flip"),
    # DFFormer on ImageNet (https://arxiv.org/abs/2303.03932); its drop-path of 0.2 belongs to the network
    "dfformer": Training(
        res=224,
        batch=1024,
        epochs=300,
        lr=(1e-3,),
        weight_decay=0.05,
        warmup=20,
        augment="rand-m9-mstd0.5-inc1",
        erase=0.25,
        mixup=0.8,
        cutmix=1.0,
        smoothing=0.1,
        dtype="bf16",
    ),
    # ConvNeXt on ImageNet (https://arxiv.org/abs/2201.03545), which NIFF's networks are trained by as well
    "convnext": Training(
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
    ),
    # Deeply shared filter bases on CIFAR (https://arxiv.org/abs/2006.05066)
    "shared_basis": Training(
        res=32,
        batch=256,
        epochs=300,
        optimizer="sgd",
        lr=(0.1,),
        weight_decay=5e-4,
        schedule="multistep",
        milestones=(150, 225),
        warmup=0,
        augment="flip",
    ),
}
HINTS = get_type_hints(Training)
OWN_FLAGS = ("data",)
SWITCH = {"true": True, "false": False}


def changed(recipe: str, overrides: Iterable[str]) -> Training:
    """A recipe with settings FIELD=VALUE in place of its own; raises ValueError for an unknown recipe, field or value."""
    if recipe not in RECIPES:
        raise ValueError(f"unknown recipe '{recipe}'{nearest(recipe, RECIPES)} (known: {', '.join(RECIPES)})")
    fields = [field.name for field in dataclasses.fields(Training) if field.name not in OWN_FLAGS]
    found: dict[str, Any] = {}
    for text in overrides:
        name, _, value = text.partition("=")
        if name not in fields:
            raise ValueError(f"--train {text!r}: no setting '{name}'{nearest(name, fields)} (settings: {', '.join(fields)})")
        try:
            found[name] = _converted(HINTS[name], value)
        except ValueError as error:
            raise ValueError(f"--train {text!r}: {value!r} is no value of {name}") from error
    return dataclasses.replace(RECIPES[recipe], **found)


def _converted(hint: Any, text: str) -> Any:
    if hint is bool:
        if text not in SWITCH:
            raise ValueError(text)
        return SWITCH[text]
    if hint in (int, float, str):
        return hint(text)
    if hint == float | None:
        return float(text)
    return tuple(hint.__args__[0](part) for part in text.split(","))


def length(text: str) -> dict[str, Any]:
    """The fields of a budget: "epochs=20", or a time such as "60s", which is filled with as many as fit; raises ValueError."""
    if match := re.fullmatch(r"epochs=([1-9][0-9]*)", text):
        return {"epochs": int(match[1]), "seconds": None}
    if match := re.fullmatch(r"([0-9]*\.?[0-9]+)(s|min|h)", text):
        return {"seconds": float(match[1]) * {"s": 1, "min": 60, "h": 3600}[match[2]]}
    raise ValueError(f"--budget {text!r} is neither a time such as 60s nor epochs=20")
