"""Image classification networks, selected by NAME[option=value,...]. Listing them does not import torch.

`FAMILIES` lists our networks: hosts that accept any registered operator, and the published networks of the methods, built from our
operators. Any other name is a network of timm or torchvision, whose convolutions an operator can replace; see `library`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.names import parse

if TYPE_CHECKING:
    from torch import nn

Size = tuple[int, int]
Build = Callable[..., "nn.Module"]  # channels, resolution -> operator; out_channels= if its class has that option


@dataclass(frozen=True)
class NetworkSpec:
    """Specification of a network: the arguments of `build` that every family has. The others are options of the family."""

    name: str  # without options
    operator: Build | None  # None: as published
    classes: int
    in_channels: int
    resolution: Size  # height and width of the images


FAMILIES: dict[str, tuple[str, ...]] = {  # module -> network names
    "mixer": ("mixer",),
    "flexnet": ("flexnet3", "flexnet5", "flexnet7"),
    "shared_basis.resnet": ("shared_resnet32", "shared_resnet56", "shared_resnet34", "shared_resnet50", "shared_resnet101"),
    "niff.networks": ("niff_resnet18", "niff_resnet50", "niff_resnet101", "niff_densenet121", "niff_mobilenetv2"),
    "niff.convnext": ("niff_convnext_t", "niff_convnext_s", "niff_convnext_b"),
    "metaformer": (
        *(
            "dfformer_s18",
            "dfformer_s36",
            "dfformer_m36",
            "dfformer_b36",
            "dfformer_s18_k2",
            "dfformer_s18_d8",
            "dfformer_s18_afno",
        ),
        *("cdfformer_s18", "cdfformer_s36", "cdfformer_m36", "cdfformer_b36", "gfformer_s18"),
    ),
    "gfnet": ("gfnet_ti", "gfnet_xs", "gfnet_s", "gfnet_b", "gfnet_h_ti", "gfnet_h_s", "gfnet_h_b"),
}
HOSTS = ("mixer",)  # our networks that need a method; the others have their own operators


def names() -> list[str]:
    """Return the names of our networks."""
    return [name for members in FAMILIES.values() for name in members]


def kind_of(text: str) -> str:
    """Return the kind of a network.

    - "host": one of ours that needs a method
    - "own": one of ours with its own operators
    - "library": a network of timm or torchvision, whose convolutions an operator can replace
    """
    name = parse(text).name
    return "host" if name in HOSTS else "own" if name in names() else "library"


def build(text: str, operator: Build | None, classes: int, in_channels: int, resolution: Size) -> nn.Module:
    """Build the network NAME[option=value,...] for images (B, in_channels, *resolution), with an operator or as published.

    Raises ValueError for an unknown name or option, a host without an operator, or an operator for a network with its own
    operators.
    """
    label = parse(text)
    family = next((module for module, members in FAMILIES.items() if label.name in members), "library")
    if operator is None and label.name in HOSTS:
        raise ValueError(f"network '{label.name}' needs a method")
    if operator is not None and label.name in names() and label.name not in HOSTS:
        raise ValueError(f"network '{label.name}' has its own operators and takes no method")
    module: Any = importlib.import_module(f"bench.nets.{family}")
    spec = NetworkSpec(label.name, operator, classes, in_channels, resolution)
    try:
        network: nn.Module = module.build(spec, **dict(label.options))
    except TypeError as error:
        if "unexpected keyword" in str(error):
            raise ValueError(f"network '{label.name}': {str(error).partition(') ')[2] or error}") from error
        raise
    return network
