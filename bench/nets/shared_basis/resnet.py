"""ResNets on shared filter bases: in each group of equal width every block but the first filters with the same basis.

Kang and Kim, "Learning Shared Filter Bases for Efficient ConvNets", NeurIPS 2021, https://arxiv.org/abs/2006.05066. The first block
of a group, which changes width and stride, is ordinary. In the others

- a basic block has two `SharedBasisConv` of s shared and u own filters in the first group, twice as many in each next, both on one
  basis ("single") or the first convolutions on one and the second ones on another ("double", the published "*");
- a bottleneck has its 3x3 convolution in common with the others ("single", published as "Shared") and with "double" its last 1x1
  too ("++"); what is not shared plays the part of the coefficients.

Batch norms are never shared. The published operation counts are those of the factored convolutions, with two for each number that a
batch norm gives; frozen for inference a convolution is folded where that costs no more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from bench.nets import Size
from bench.nets.shared_basis.blocks import Residual, SharedConv, add_second_basis, convolution, make_shortcut, make_stem
from methods.shared_basis import LAMBDA, SharedBasis, SharedBasisConv, orthogonality

Init = Literal["orthogonal", "official"]
Group = Callable[..., list[Residual]]  # channels before and in it, stride, number of blocks -> its blocks
EXPANSION = 4  # of a bottleneck


class Config(NamedTuple):
    """`cifar10`: the networks of He et al. for CIFAR-10, of 16 channels at first and with shortcuts without parameters."""

    blocks: tuple[int, ...]  # of each group
    ranks: tuple[int, ...] = ()  # s and u in the first group; of a bottleneck none
    cifar10: bool = False

    @property
    def width(self) -> int:
        """Channels of the first group."""
        return 16 if self.cifar10 else 64


CONFIGS = {
    "shared_resnet32": Config((5, 5, 5), (16, 1), cifar10=True),
    "shared_resnet56": Config((9, 9, 9), (16, 1), cifar10=True),
    "shared_resnet34": Config((3, 4, 6, 3), (32, 1)),
    "shared_resnet50": Config((3, 4, 6, 3)),
    "shared_resnet101": Config((3, 4, 23, 3)),
}


def build(
    name: str,
    operator: None,
    classes: int,
    in_channels: int,
    resolution: Size,
    rank: int | None = None,
    unique: int | None = None,
    variant: str = "single",
    stem: str | None = None,
    init: Init = "orthogonal",
) -> SharedResNet:
    """The network `name`.

    rank, unique: s and u, of networks with basic blocks (default 16 and 1, of shared_resnet34 32 and 1).
    variant: "single" or "double". stem: "cifar" = a 3x3 convolution, "imagenet" = a 7x7 of stride 2 and a maximum of stride 2
    (default "imagenet", of shared_resnet32 and 56 "cifar"). init: of unique filters, see `methods.shared_basis`.
    Raises ValueError for another variant or stem, and for ranks of a bottleneck.
    """
    form = CONFIGS[name]
    if variant not in ("single", "double"):
        raise ValueError(f"network '{name}': variant must be single or double, not {variant!r}")
    if not form.ranks and (rank, unique) != (None, None):
        raise ValueError(f"network '{name}' shares whole convolutions and has no ranks")
    ranks = (default if given is None else given for given, default in zip((rank, unique), form.ranks))
    form = form._replace(ranks=tuple(ranks))
    group: Group = partial(basic_group, form, init) if form.ranks else bottleneck_group
    stem = stem or ("cifar" if form.cifar10 else "imagenet")
    return SharedResNet(form, stem, partial(group, double=variant == "double"), classes, in_channels)


def basic_group(form: Config, init: Init, inputs: int, width: int, stride: int, count: int, double: bool) -> list[Residual]:
    """`count` blocks of two 3x3 convolutions of `width` channels."""
    shared, unique = (rank * width // form.width for rank in form.ranks)
    convs = SharedBasisConv.stack(2 * count - 2, width, 3, shared_rank=shared, unique_rank=unique, init=init)
    if double:
        add_second_basis(convs)
    ordinary: list[nn.Module] = [convolution(inputs, width, 3, stride), convolution(width, width, 3)]
    first = Residual(ordinary, [width] * 2, make_shortcut(inputs, width, stride, not form.cifar10))
    return [first, *(Residual([*pair], [width] * 2, nn.Identity()) for pair in zip(convs[::2], convs[1::2]))]


def bottleneck_group(inputs: int, width: int, stride: int, count: int, double: bool) -> list[Residual]:
    """`count` blocks of a 1x1, a 3x3 and a 1x1 convolution, of `width` channels but for the last, which has `EXPANSION` as many."""
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
    """Stem, groups of residual blocks, global mean and linear map."""

    def __init__(self, form: Config, stem: str, group: Group, classes: int, in_channels: int):
        super().__init__()
        self.include_unique = form.cifar10  # in the penalty, as published
        self.stem = make_stem(stem, in_channels, form.width)
        self.groups = nn.Sequential()
        features = form.width
        for i, count in enumerate(form.blocks):
            blocks = group(features, form.width * 2**i, 2 if i else 1, count)
            self.groups.append(nn.Sequential(*blocks))
            features = blocks[-1].channels
        self.head = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, in_channels, H, W) to logits (B, classes)."""
        return self.head(self.groups(self.stem(x)).mean((-2, -1)))

    def penalty(self) -> Tensor:
        """LAMBDA times `orthogonality` over all groups; 3x3 and 1x1 bases are averaged apart, and the averages added.

        Networks of the CIFAR-10 form take the unique filters in, as published for CIFAR-10.
        """
        groups = [[m for m in group.modules() if isinstance(m, SharedBasisConv | SharedConv)] for group in self.groups]
        sizes = {conv.basis.weight.shape[-1] for group in groups for conv in group}
        apart = [[[conv for conv in group if conv.basis.weight.shape[-1] == size] for group in groups] for size in sizes]
        return LAMBDA * torch.stack([orthogonality(part, self.include_unique) for part in apart]).sum()
