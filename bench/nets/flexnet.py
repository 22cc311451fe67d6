"""FlexNet: residual networks of continuous convolutions of learned size, which keep the size of the image throughout.

Romero, Bruintjes et al., "FlexConv: Continuous Kernel Convolutions with Differentiable Kernel Sizes", ICLR 2022,
https://arxiv.org/abs/2110.08059. A layer and BN-ReLU, then 3, 5 or 7 blocks

    ReLU(BN(layer(dropout(ReLU(BN(layer(x)))))) + shortcut(x))

whose widths grow from 1 to 2 times the first, a global mean and a linear map. The published baselines have the same network with
plain dense convolutions of 3x3 and 33x33 in place of the continuous ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

import methods
from bench.nets import Size
from bench.nets.layers import Pointwise, load
from methods.flexconv import FlexConv

Layer = Callable[[int, int], nn.Module]  # channels before and after -> a layer that keeps the map's size

WIDTH = {"flexnet3": 24, "flexnet5": 22, "flexnet7": 24}
FACTORS: dict[str, tuple[float, ...]] = {  # of the width, block by block
    "flexnet3": (1, 1.5, 2),
    "flexnet5": (1, 1.5, 1.5, 2, 2),
    "flexnet7": (1, 1, 1.5, 1.5, 1.5, 2, 2),
}
FIXED_OPTIONS = {"kernel_size", "out_channels"}  # options of the operator that the network sets


def build(
    name: str,
    operator: None,
    classes: int,
    in_channels: int,
    resolution: Size,
    width: int | None = None,
    dropout: float = 0.2,
    kernel: str | int = "flex",
    horizon: int | None = None,
    **options: Any,
) -> FlexNet:
    """The FlexNet `name`: `width` channels in the first layer (published: 24, of flexnet5 22).

    kernel: "flex" = continuous, an odd number k = plain dense convolutions of k x k, the baselines.
    horizon: the largest kernel size (default: the image's longer side, plus one where even). `options` are FlexConv's own, such as
    `kernel_net` and `antialias`. Raises ValueError for another option, and for any beside a plain kernel.
    """
    widths = [int((width or WIDTH[name]) * factor) for factor in FACTORS[name]]
    return FlexNet(make_layer_factory(kernel, resolution, horizon, options), widths, classes, in_channels, dropout)


def make_layer_factory(kernel: str | int, resolution: Size, horizon: int | None, options: Mapping[str, Any]) -> Layer:
    """What makes a network's layers; see `build`."""
    if kernel == "flex":
        unknown = options.keys() - (methods.get("flexconv").entry.options.keys() - FIXED_OPTIONS)
        layer: Layer = partial(continuous_layer, resolution, horizon, options)
    else:
        unknown = set(options) if horizon is None else {"horizon", *options}
        layer = partial(plain_layer, kernel)
    if unknown:
        raise ValueError(f"a FlexNet with kernel={kernel} has no option {', '.join(sorted(unknown))}")
    return layer


def continuous_layer(resolution: Size, horizon: int | None, options: Mapping[str, Any], inputs: int, outputs: int) -> FlexConv:
    return FlexConv(inputs, resolution, horizon, out_channels=outputs, **options)


def plain_layer(size: str | int, inputs: int, outputs: int) -> nn.Conv2d:
    """A dense convolution with bias, zero padding. Raises ValueError for a size that is not odd."""
    if not isinstance(size, int) or size < 1 or size % 2 == 0:
        raise ValueError(f"kernel must be flex or a positive odd number, not {size!r}")
    return nn.Conv2d(inputs, outputs, size, padding=size // 2)


class Block(nn.Module):
    """ReLU(BN(layer(dropout(ReLU(BN(layer(x)))))) + x), with a 1x1 convolution of x where the width changes."""

    def __init__(self, layer: Layer, inputs: int, outputs: int, dropout: float):
        super().__init__()
        self.cconv1, self.norm1 = layer(inputs, outputs), nn.BatchNorm2d(outputs)
        self.dropout = nn.Dropout(dropout)
        self.cconv2, self.norm2 = layer(outputs, outputs), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential(Pointwise(inputs, outputs)) if inputs != outputs else nn.Sequential()

    def forward(self, x: Tensor) -> Tensor:
        y = self.dropout(F.relu(self.norm1(self.cconv1(x))))
        return F.relu(self.norm2(self.cconv2(y)) + self.shortcut(x))


class FlexNet(nn.Module):
    """A layer of widths[0] channels, blocks of `widths`, a classifier; its parts are named as published."""

    def __init__(self, layer: Layer, widths: list[int], classes: int, in_channels: int, dropout: float):
        super().__init__()
        self.cconv1, self.norm1 = layer(in_channels, widths[0]), nn.BatchNorm2d(widths[0])
        before = [widths[0], *widths]
        self.blocks = nn.Sequential(*(Block(layer, i, o, dropout) for i, o in zip(before, widths)))
        self.out_layer = nn.Linear(widths[-1], classes)
        nn.init.kaiming_normal_(self.out_layer.weight)
        nn.init.zeros_(self.out_layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, in_channels, H, W) to logits (B, classes)."""
        x = self.blocks(F.relu(self.norm1(self.cconv1(x))))
        return self.out_layer(x.mean((-2, -1)))

    def no_weight_decay(self) -> set[str]:
        """Names of the continuous layers' parameters: to decay an implicit network is not to decay its kernel."""
        layers = [(name, module) for name, module in self.named_modules() if isinstance(module, FlexConv)]
        return {f"{name}.{own}" for name, module in layers for own, _ in module.named_parameters()}

    def load_official(self, state: Mapping[str, Tensor]) -> None:
        """State dict of the published network (`Img_ResNet`).

        Raises KeyError for a missing or unknown name, ValueError for a shape or a horizon that is not this network's.
        """
        load(self, state)
