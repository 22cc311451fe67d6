"""Building blocks of ResNets on shared bases: residual blocks with ordinary, factored or shared convolutions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.shared_basis import SharedBasis


class SharedConv(nn.Module):
    """A convolution whose weight is a shared basis: zero padding, stride 1."""

    def __init__(self, basis: SharedBasis):
        super().__init__()
        self.basis = basis

    @property
    def unique(self) -> Tensor:
        """Unique filters, of which there are none: (0, C, K, K)."""
        return self.basis.weight[:0]

    def kernel(self) -> Tensor:
        return self.basis.weight

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.basis.weight, padding=self.basis.weight.shape[-1] // 2)


class SubsampledShortcut(nn.Module):
    """Shortcut without parameters: every second pixel, and zeros in the added channels."""

    def __init__(self, added: int):
        super().__init__()
        self.added = added

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[..., ::2, ::2], (0, 0, 0, 0, 0, self.added))


class Residual(nn.Module):
    """ReLU(BN(conv(... ReLU(BN(conv(x))))) + shortcut(x)): a basic block with two convolutions, a bottleneck with three."""

    def __init__(self, convs: list[nn.Module], widths: list[int], shortcut: nn.Module):
        super().__init__()
        self.channels = widths[-1]
        self.convs = nn.ModuleList(convs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = self.norms[0](self.convs[0](x))
        for conv, norm in zip(self.convs[1:], self.norms[1:]):
            y = norm(conv(F.relu(y)))
        return F.relu(y + self.shortcut(x))


def convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    """Build an ordinary convolution without bias, with normal weights of variance 2 / (C_out K K)."""
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def make_shortcut(inputs: int, outputs: int, stride: int, parameters: bool) -> nn.Module:
    """Build a shortcut: the identity if the shapes agree, else a 1x1 convolution with batch norm, or `SubsampledShortcut`."""
    if inputs == outputs and stride == 1:
        return nn.Identity()
    if not parameters:
        return SubsampledShortcut(outputs - inputs)
    return nn.Sequential(convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


def make_stem(kind: str, in_channels: int, width: int) -> nn.Sequential:
    """Build a 3x3 convolution ("cifar") or a 7x7 of stride 2 with max pooling ("imagenet"). Raises ValueError for other kinds."""
    if kind not in ("cifar", "imagenet"):
        raise ValueError(f"stem must be cifar or imagenet, not {kind!r}")
    first = convolution(in_channels, width, 3) if kind == "cifar" else convolution(in_channels, width, 7, 2)
    pool = [] if kind == "cifar" else [nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(first, nn.BatchNorm2d(width), nn.ReLU(), *pool)


@torch.no_grad()
def add_second_basis(stack: Iterable[Any]) -> None:
    """Give every other operator of a stack a second basis. The rows of both bases are jointly orthonormal."""
    operators = list(stack)
    first: SharedBasis = operators[0].basis
    rank, channels, height, width = first.weight.shape
    second = SharedBasis(rank, channels, (height, width))
    both = nn.init.orthogonal_(torch.empty(2 * rank, channels, height, width))
    for basis, rows in zip((first, second), both.split(rank) if rank else ()):
        basis.weight.copy_(rows)
    for operator in operators[1::2]:
        operator.share(second)
