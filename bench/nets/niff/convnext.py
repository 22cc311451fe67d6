"""NIFF forms of ConvNeXt-T/S/B (Grabinski et al., TMLR 2024, https://arxiv.org/abs/2307.10001)."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from bench.nets import NetworkSpec, Size, library
from bench.nets.niff.layers import replace_by_niff

BASES = {"niff_convnext_t": "convnext_tiny", "niff_convnext_s": "convnext_small", "niff_convnext_b": "convnext_base"}


def build(spec: NetworkSpec, *, drop_path: float = 0.0, boundary: str = "circular", coords: str = "index") -> nn.Module:
    """Build the NIFF form of a ConvNeXt of torchvision.

    drop_path: rate of the last block, rising linearly from 0 at the first. boundary, coords: see `methods.niff.Niff`. Each layer
    has torch's default initialisation, as in the published code, which does not use the truncated normal of ConvNeXt. Raises
    ValueError if the images are too small.
    """
    network = library.build(replace(spec, name=f"torchvision/{BASES[spec.name]}"), stochastic_depth_prob=drop_path)
    convert(network, spec.in_channels, spec.resolution, boundary, coords)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.reset_parameters()
    return network


def convert(network: nn.Module, in_channels: int, resolution: Size, boundary: str = "circular", coords: str = "index") -> None:
    """Replace the 7x7 depthwise convolutions by NIFF filters, and remove the biases of 1x1 layers.

    The filters come from networks of 2-16-128-32-C units.
    """
    from torchvision.models.convnext import CNBlock

    replace_by_niff(network, "niff_big", in_channels, resolution, boundary=boundary, coords=coords)
    for block in network.modules():
        if isinstance(block, CNBlock):
            for layer in block.block:  # not recursive: the small networks of the filters keep their biases
                if isinstance(layer, nn.Linear):
                    layer.register_parameter("bias", None)
