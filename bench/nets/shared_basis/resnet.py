"""ResNets on shared filter bases: all blocks of a group but the first share their basis.

Kang and Kim, "Learning Shared Filter Bases for Efficient ConvNets", NeurIPS 2021, https://arxiv.org/abs/2006.05066. The first block
of a group, which changes width and stride, is ordinary. In the other blocks:

- A basic block has two `SharedBasisConv` with s shared and u unique filters in the first group and twice as many in each following
  group. Both use one basis ("single"), or the first convolutions use one and the second ones another ("double", the published "*").
- A bottleneck shares its 3x3 convolution with the other blocks ("single", the published "Shared"), with "double" also its last 1x1
  ("++"). The convolutions that are not shared act as coefficients.

Batch norms are not shared. The published operation counts are those of the factored convolutions, with two per output value of a
batch norm. Frozen for inference, a convolution is folded if that costs no more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from bench.nets import NetworkSpec
from bench.nets.shared_basis.blocks import Residual, SharedConv, add_second_basis, convolution, make_shortcut, make_stem
from methods.shared_basis import LAMBDA, SharedBasis, SharedBasisConv, orthogonality

Init = Literal["orthogonal", "official"]
EXPANSION = 4  # output channels over width of a bottleneck


class Config(NamedTuple):
    """Configuration of a network. `cifar10`: as He et al. for CIFAR-10, with 16 channels first and parameter-free shortcuts."""

    blocks: tuple[int, ...]  # per group
    ranks: tuple[int, ...] = ()  # s and u in the first group; empty for bottlenecks
    cifar10: bool = False

    @property
    def width(self) -> int:
        """Number of channels of the first group."""
        return 16 if self.cifar10 else 64


class GroupShape(NamedTuple):
    """Input channels, `width` of the 3x3 convolutions, stride of the first block and number of blocks of a group."""

    inputs: int
    width: int
    stride: int
    blocks: int


Group = Callable[[GroupShape], list[Residual]]


CONFIGS = {
    "shared_resnet32": Config((5, 5, 5), (16, 1), cifar10=True),
    "shared_resnet56": Config((9, 9, 9), (16, 1), cifar10=True),
    "shared_resnet34": Config((3, 4, 6, 3), (32, 1)),
    "shared_resnet50": Config((3, 4, 6, 3)),
    "shared_resnet101": Config((3, 4, 23, 3)),
}


def build(
    spec: NetworkSpec,
    *,
    rank: int | None = None,
    unique: int | None = None,
    variant: str = "single",
    stem: str | None = None,
    init: Init = "orthogonal",
) -> SharedResNet:
    """Build a network by name.

    rank, unique: s and u of networks with basic blocks (default 16 and 1, for shared_resnet34 32 and 1).
    variant: "single" or "double". stem: "cifar" = a 3x3 convolution, "imagenet" = a 7x7 of stride 2 with max pooling of stride 2
    (default "imagenet", for shared_resnet32 and 56 "cifar"). init: of the unique filters, see `methods.shared_basis`.
    Raises ValueError for another variant or stem, and for ranks in a network with bottlenecks.
    """
    config = CONFIGS[spec.name]
    if variant not in ("single", "double"):
        raise ValueError(f"network '{spec.name}': variant must be single or double, not {variant!r}")
    if not config.ranks and (rank, unique) != (None, None):
        raise ValueError(f"network '{spec.name}' shares whole convolutions and has no ranks: omit rank and unique")
    ranks = (default if value is None else value for value, default in zip((rank, unique), config.ranks))
    config = config._replace(ranks=tuple(ranks))
    double = variant == "double"
    group: Group = partial(basic_group, config, init, double) if config.ranks else partial(bottleneck_group, double)
    stem = stem or ("cifar" if config.cifar10 else "imagenet")
    return SharedResNet(config, stem, group, spec.classes, spec.in_channels)


def basic_group(config: Config, init: Init, double: bool, shape: GroupShape) -> list[Residual]:
    """Build `count` blocks of two 3x3 convolutions of `width` channels."""
    inputs, width, stride, count = shape
    shared, unique = (rank * width // config.width for rank in config.ranks)
    convs = SharedBasisConv.stack(2 * count - 2, width, 3, shared_rank=shared, unique_rank=unique, init=init)
    if double:
        add_second_basis(convs)
    ordinary: list[nn.Module] = [convolution(inputs, width, 3, stride), convolution(width, width, 3)]
    first = Residual(ordinary, [width] * 2, make_shortcut(inputs, width, stride, not config.cifar10))
    return [first, *(Residual([*pair], [width] * 2, nn.Identity()) for pair in zip(convs[::2], convs[1::2]))]


def bottleneck_group(double: bool, shape: GroupShape) -> list[Residual]:
    """Build `count` blocks of 1x1, 3x3 and 1x1 convolutions of `width`, `width` and `EXPANSION` * `width` channels."""
    inputs, width, stride, count = shape
    outputs = EXPANSION * width
    widths = [width, width, outputs]
    ordinary: list[nn.Module] = [
        convolution(inputs, width, 1),
        convolution(width, width, 3, stride),
        convolution(width, outputs, 1),
    ]
    blocks = [Residual(ordinary, widths, make_shortcut(inputs, outputs, stride, parameters=True))]
    middle, last = SharedBasis(width, width, (3, 3)), SharedBasis(outputs, width, (1, 1))
    for _ in range(count - 1):
        expand = SharedConv(last) if double else convolution(width, outputs, 1)
        blocks.append(Residual([convolution(outputs, width, 1), SharedConv(middle), expand], widths, nn.Identity()))
    return blocks


class SharedResNet(nn.Module):
    """Stem, groups of residual blocks, global average pooling and linear layer."""

    def __init__(self, config: Config, stem: str, group: Group, classes: int, in_channels: int):
        super().__init__()
        self.include_unique = config.cifar10  # in the penalty, as published
        self.stem = make_stem(stem, in_channels, config.width)
        self.groups = nn.Sequential()
        features = config.width
        for i, count in enumerate(config.blocks):
            blocks = group(GroupShape(features, config.width * 2**i, 2 if i else 1, count))
            self.groups.append(nn.Sequential(*blocks))
            features = blocks[-1].channels
        self.head = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, in_channels, H, W) to logits (B, classes)."""
        return self.head(self.groups(self.stem(x)).mean((-2, -1)))

    def penalty(self) -> Tensor:
        """Return LAMBDA times `orthogonality` over all groups, averaged separately for 3x3 and 1x1 bases and added up.

        Networks for CIFAR-10 include the unique filters, as published.
        """
        groups = [[m for m in group.modules() if isinstance(m, SharedBasisConv | SharedConv)] for group in self.groups]
        sizes = {conv.basis.weight.shape[-1] for group in groups for conv in group}
        by_size = [[[conv for conv in group if conv.basis.weight.shape[-1] == size] for group in groups] for size in sizes]
        return LAMBDA * torch.stack([orthogonality(convs, self.include_unique) for convs in by_size]).sum()
