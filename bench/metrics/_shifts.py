"""Shift equivariance errors: r(S x) compared with S r(x). The measures are defined in `bench.metrics.properties`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

Operator = Callable[[Tensor], Tensor]


def distance(actual: Tensor, expected: Tensor) -> float:
    """Return ||actual - expected|| / ||expected||: 0 if they are equal, infinite if only `expected` is zero."""
    difference = float((actual - expected).norm())
    size = float(expected.norm())
    return difference / size if size else math.inf if difference else 0.0


def circular(respond: Operator, x: Tensor) -> float:
    """Return the root mean square error over several circular shifts of x (B, C, H, W)."""
    height, width = x.shape[-2:]
    y = respond(x)
    shifts = ((1, 0), (0, -1), (2, 3), (height // 2, width // 2), (-(height // 3), width // 4))
    return _rms([distance(respond(x.roll(shift, (-2, -1))), y.roll(shift, (-2, -1))) for shift in shifts])


def zero(respond: Operator, x: Tensor) -> float:
    """Return the root mean square error over several zero-filled shifts of single lines of x (B, C, H, W)."""
    return _rms([distance(respond(shifted(line, *move)), shifted(respond(line), *move)) for line, move in lines(x)])


def lines(x: Tensor) -> Iterator[tuple[Tensor, tuple[int, int]]]:
    """Yield images with one row or column of x and zeros elsewhere, and the shift (pixels, axis) of the line to the border."""
    for axis in (-2, -1):
        size = x.shape[axis]
        for pixels in (1, -max(size // 8, 1)):
            position = max(size - 1 - pixels, 0) if pixels > 0 else min(-pixels, size - 1)
            line = torch.zeros_like(x)
            line.narrow(axis, position, 1).copy_(x.narrow(axis, position, 1))
            yield line, (pixels, axis)


def shifted(x: Tensor, pixels: int, axis: int) -> Tensor:
    """Return x shifted along an axis and filled with zeros."""
    moved = x.roll(pixels, axis)
    count = min(abs(pixels), x.shape[axis])
    moved.narrow(axis, 0 if pixels > 0 else x.shape[axis] - count, count).zero_()
    return moved


def _rms(errors: list[float]) -> float:
    return math.sqrt(sum(error**2 for error in errors) / len(errors))
