"""NIFF forms of ResNet, DenseNet and MobileNetV2 (Grabinski et al., TMLR 2024, https://arxiv.org/abs/2307.10001).

The networks are torchvision's. `bench.nets.niff.layers.replace_by_niff` replaces their convolutions of stride 1. Parameter counts
equal those of the published code. The published 1x1 layers are linear layers between two transforms. Here they are 1x1
convolutions, which are equivalent, and are initialised like the others: the batch norm removes their scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from torch import nn

from bench.nets import NetworkSpec, library
from bench.nets.niff.layers import init_kaiming, replace_by_niff

METHODS = {"depthwise": "niff", "split": "niff_split", "full": "niff_full"}  # mode -> method that replaces a 3x3 convolution


class Form(NamedTuple):
    """NIFF form of a network of torchvision. The first of `modes` is the published default."""

    base: str
    modes: tuple[str, ...]
    initialisation: Mapping[str, Any]  # arguments of `init_kaiming`, as for the base network


FORMS = {
    "niff_resnet18": Form("resnet18", ("split", "full"), {"fan": "fan_out"}),
    "niff_resnet50": Form("resnet50", ("split", "full"), {"fan": "fan_out"}),
    "niff_resnet101": Form("resnet101", ("split", "full"), {"fan": "fan_out"}),
    "niff_densenet121": Form("densenet121", ("split", "full"), {"fan": "fan_in"}),
    "niff_mobilenetv2": Form("mobilenet_v2", ("depthwise",), {"fan": "fan_out", "zero_biases": True}),
}


def build(spec: NetworkSpec, *, mode: str | None = None, boundary: str = "circular", coords: str = "index") -> nn.Module:
    """Build the NIFF form of a network of torchvision.

    mode: for ResNets and DenseNet, "split" = one filter per channel (from networks of 2-8-4-C units), then a 1x1 convolution;
    "full" = one filter per pair of channels (from networks of 2-8-I*O units). MobileNetV2 only has depthwise convolutions.
    boundary, coords: see `methods.niff.Niff`. Raises ValueError for another mode and if the images are too small.
    """
    form = FORMS[spec.name]
    mode = mode or form.modes[0]
    if mode not in form.modes:
        raise ValueError(f"network '{spec.name}': mode must be one of {', '.join(form.modes)}, not {mode!r}")
    network = library.build(replace(spec, name=f"torchvision/{form.base}"))
    replace_by_niff(network, METHODS[mode], spec.in_channels, spec.resolution, boundary=boundary, coords=coords)
    init_kaiming(network, **form.initialisation)
    return network
