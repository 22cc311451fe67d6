"""How a published network becomes its NIFF form (Grabinski et al., TMLR 2024): which layers are exchanged, and for what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from torch import nn

import methods
from bench.nets import Size
from bench.nets.replacement import find_convolutions
from methods.parts.niff_mlp import FrequencyMLP


def replace_by_niff(network: nn.Module, method: str, in_channels: int, resolution: Size, **options: Any) -> None:
    """Put NIFF layers in place of the convolutions of stride 1, for images (B, in_channels, *resolution).

    `method` is the NIFF of the registry that fits them: one for depthwise or one for dense convolutions; `options` are its own.
    What has a stride stays spatial: stems, downsampling. So does a 1x1 convolution: its NIFF form multiplies every frequency of a
    map by one and the same matrix, between two transforms that therefore cancel, and is a 1x1 convolution without bias.
    Raises ValueError for images that are too small for the network.
    """
    try:
        layers = find_convolutions(network, "all", 3, resolution, in_channels)
    except RuntimeError as error:
        images = "x".join(map(str, (in_channels, *resolution)))
        raise ValueError(f"images of {images} do not pass through the network: {str(error).splitlines()[0]}") from error
    for layer in layers:
        if layer.size and not layer.kept:
            operator = methods.get(method).build(layer.in_channels, layer.size, out_channels=layer.out_channels, **options)
            network.set_submodule(layer.name, operator)


def init_kaiming(network: nn.Module, fan: Literal["fan_in", "fan_out"], zero_biases: bool = False) -> None:
    """Draw every convolution anew, and every layer of the filters' small networks: 1x1 convolutions in the published code."""
    for layer in initialised_layers(network):
        nn.init.kaiming_normal_(layer.weight, mode=fan, nonlinearity="relu")
        if zero_biases and layer.bias is not None:
            nn.init.zeros_(layer.bias)


def initialised_layers(network: nn.Module) -> Iterator[nn.Conv2d | nn.Linear]:
    """All convolutions, and the linear layers of the small networks."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            yield module
        elif isinstance(module, FrequencyMLP):
            yield from (layer for layer in module.modules() if isinstance(layer, nn.Linear))
