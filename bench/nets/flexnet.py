"""FlexNet: residual networks of continuous convolutions of learned size, without downsampling.

Romero, Bruintjes et al., "FlexConv: Continuous Kernel Convolutions with Differentiable Kernel Sizes", ICLR 2022,
https://arxiv.org/abs/2110.08059. A FlexNet is a layer with BN and ReLU, 3, 5 or 7 blocks

    ReLU(BN(layer(dropout(ReLU(BN(layer(x)))))) + shortcut(x))

of 1 to 2 times the width of the first layer, global average pooling and a linear layer. In the published baselines, dense
convolutions of 3x3 and 33x33 replace the continuous ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

import methods
from bench.nets import NetworkSpec, Size
from bench.nets.layers import Pointwise, load
from methods.flexconv import FlexConv

Layer = Callable[[int, int], nn.Module]  # input channels, output channels -> layer with outputs of the size of its input

WIDTH = {"flexnet3": 24, "flexnet5": 22, "flexnet7": 24}
FACTORS: dict[str, tuple[float, ...]] = {  # factor on the width, per block
    "flexnet3": (1, 1.5, 2),
    "flexnet5": (1, 1.5, 1.5, 2, 2),
    "flexnet7": (1, 1, 1.5, 1.5, 1.5, 2, 2),
}
FIXED_OPTIONS = {"kernel_size", "out_channels"}  # options of the operator that the network sets


def build(
    spec: NetworkSpec,
    *,
    width: int | None = None,
    dropout: float = 0.2,
    kernel: str | int = "flex",
    horizon: int | None = None,
    **options: Any,
) -> FlexNet:
    """Build a FlexNet with `width` channels in the first layer (published: 24, for flexnet5 22).

    kernel: "flex" = continuous; an odd number k = dense convolutions of k x k, the baselines. horizon: the largest kernel size
    (default: the longer side of the image, plus one if even). `options` are those of FlexConv, such as `kernel_net` and
    `antialias`. Raises ValueError for any other option, and for any option with a dense kernel.
    """
    widths = [int((width or WIDTH[spec.name]) * factor) for factor in FACTORS[spec.name]]
    layer = make_layer_factory(kernel, spec.resolution, horizon, options)
    return FlexNet(layer, widths, spec.classes, spec.in_channels, dropout)


def make_layer_factory(kernel: str | int, resolution: Size, horizon: int | None, options: Mapping[str, Any]) -> Layer:
    """Return the function that builds a layer; see `build` for the arguments."""
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
    """Build a zero-padded dense convolution with bias. Raises ValueError for a size that is not odd."""
    if not isinstance(size, int) or size < 1 or size % 2 == 0:
        raise ValueError(f"kernel must be flex or a positive odd number, not {size!r}")
    return nn.Conv2d(inputs, outputs, size, padding=size // 2)


class Block(nn.Module):
    """ReLU(BN(layer(dropout(ReLU(BN(layer(x)))))) + x), with a 1x1 convolution of x if the width changes."""

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
    """A layer of widths[0] channels, blocks of `widths` channels and a classifier, named as in the published code."""

    def __init__(self, layer: Layer, widths: list[int], classes: int, in_channels: int, dropout: float):
        super().__init__()
        self.cconv1, self.norm1 = layer(in_channels, widths[0]), nn.BatchNorm2d(widths[0])
        before = [widths[0], *widths]
        self.blocks = nn.Sequential(*(Block(layer, i, o, dropout) for i, o in zip(before, widths)))
        self.out_layer = nn.Linear(widths[-1], classes)
        nn.init.kaiming_normal_(self.out_layer.weight)
        nn.init.zeros_(self.out_layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, in_channels, H, W) to logits (B, classes)."""
        x = self.blocks(F.relu(self.norm1(self.cconv1(x))))
        return self.out_layer(x.mean((-2, -1)))

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters of continuous layers: decay of an implicit network does not decay its kernel."""
        layers = [(name, module) for name, module in self.named_modules() if isinstance(module, FlexConv)]
        return {f"{name}.{parameter}" for name, module in layers for parameter, _ in module.named_parameters()}

    def load_official(self, state: Mapping[str, Tensor]) -> None:
        """Load the state dict of the published network (`Img_ResNet`).

        Raises KeyError for a missing or unknown name, and ValueError if a shape or the horizon differs.
        """
        load(self, state)
