"""Conversion of published networks to their NIFF form (Grabinski et al., TMLR 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from torch import nn

import methods
from bench.nets import Size
from bench.nets.replacement import find_convolutions
from methods.parts.niff_mlp import FrequencyMLP


def replace_by_niff(network: nn.Module, method: str, in_channels: int, resolution: Size, **options: Any) -> None:
    """Replace the convolutions of stride 1 by NIFF layers, for images (B, in_channels, *resolution).

    `method` is a registered NIFF, for depthwise or for dense convolutions; `options` are those of its constructor. Strided
    convolutions (stem, downsampling) are unchanged. So are 1x1 convolutions: their NIFF form multiplies every frequency of a map by
    the same matrix, so the two transforms cancel and it equals a 1x1 convolution without bias. Raises ValueError if the images are
    too small for the network.
    """
    try:
        layers = find_convolutions(network, "all", 3, resolution, in_channels)
    except RuntimeError as error:
        images = "x".join(map(str, (in_channels, *resolution)))
        raise ValueError(f"the network does not support images of {images}: {str(error).splitlines()[0]}") from error
    for layer in layers:
        if layer.size and not layer.reason:
            operator = methods.get(method).build(layer.in_channels, layer.size, out_channels=layer.out_channels, **options)
            network.set_submodule(layer.name, operator)


def init_kaiming(network: nn.Module, fan: Literal["fan_in", "fan_out"], zero_biases: bool = False) -> None:
    """Initialise every convolution, and every layer of the filters' small networks, which are 1x1 convolutions as published."""
    for layer in initialised_layers(network):
        nn.init.kaiming_normal_(layer.weight, mode=fan, nonlinearity="relu")
        if zero_biases and layer.bias is not None:
            nn.init.zeros_(layer.bias)


def initialised_layers(network: nn.Module) -> Iterator[nn.Conv2d | nn.Linear]:
    """Yield all convolutions, and the linear layers of the filters' small networks."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            yield module
        elif isinstance(module, FrequencyMLP):
            yield from (layer for layer in module.modules() if isinstance(layer, nn.Linear))
