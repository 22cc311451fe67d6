"""Networks that map images to classes, each asked for as NAME[option=value,...]; listing them costs no torch.

Ours are in `FAMILIES`: hosts that take any operator of the registry, and the methods' own networks, built from our operators. Any
other name is one of timm's or torchvision's, whose convolutions are exchanged for the operator; see `library`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bench import words

if TYPE_CHECKING:
    from torch import nn

Size = tuple[int, int]
Build = Callable[[int, Size], "nn.Module"]  # channels, resolution -> operator

FAMILIES: dict[str, tuple[str, ...]] = {  # module -> names
    "mixer": ("mixer",),
}
HOSTS = ("mixer",)  # of ours: those that need an operator; the others are made of their own


def names() -> list[str]:
    """Every network of ours."""
    return [name for members in FAMILIES.values() for name in members]


def is_host(text: str) -> bool:
    """Whether a network of this name needs an operator."""
    return words.parse(text).name in HOSTS


def is_open(text: str) -> bool:
    """Whether an operator may take the place of a network's convolutions: in those of the libraries."""
    return words.parse(text).name not in names()


def build(text: str, operator: Build | None, classes: int, in_channels: int, resolution: Size) -> nn.Module:
    """The network NAME[option=value,...] for images (B, in_channels, *resolution), with an operator or as published.

    Raises ValueError for an unknown name or option, a host without an operator or a network of ours that takes none.
    """
    word = words.parse(text)
    family = next((module for module, members in FAMILIES.items() if word.name in members), "library")
    if operator is None and word.name in HOSTS:
        raise ValueError(f"network '{word.name}' needs a method")
    if operator is not None and word.name in names() and word.name not in HOSTS:
        raise ValueError(f"network '{word.name}' is made of its own operators and takes no method")
    module: Any = importlib.import_module(f"bench.nets.{family}")
    network: nn.Module = module.build(word.name, operator, classes, in_channels, resolution, **dict(word.options))
    return network
