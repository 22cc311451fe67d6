"""Whether a response moves with the image: r(S x) against S r(x). The measures are defined in `bench.metrics.properties`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

Operator = Callable[[Tensor], Tensor]


def distance(found: Tensor, wanted: Tensor) -> float:
    """||found - wanted|| / ||wanted||; 0 where they are equal, infinite where only `wanted` is zero."""
    gap = float((found - wanted).norm())
    size = float(wanted.norm())
    return gap / size if size else math.inf if gap else 0.0


def circular(respond: Operator, x: Tensor) -> float:
    """Error of circular shifts of x (B, C, H, W), root mean square over several."""
    height, width = x.shape[-2:]
    y = respond(x)
    shifts = ((1, 0), (0, -1), (2, 3), (height // 2, width // 2), (-(height // 3), width // 4))
    return _rms([distance(respond(x.roll(shift, (-2, -1))), y.roll(shift, (-2, -1))) for shift in shifts])


def zero(respond: Operator, x: Tensor) -> float:
    """Error of shifts with zeros at the border, of single lines of x (B, C, H, W), root mean square over several."""
    return _rms([distance(respond(pushed(line, *move)), pushed(respond(line), *move)) for line, move in lines(x)])


def lines(x: Tensor) -> Iterator[tuple[Tensor, tuple[int, int]]]:
    """One row or column of x, else zeros, and the move (pixels, axis) that takes it to the border that it is nearest to."""
    for axis in (-2, -1):
        size = x.shape[axis]
        for pixels in (1, -max(size // 8, 1)):
            place = max(size - 1 - pixels, 0) if pixels > 0 else min(-pixels, size - 1)
            line = torch.zeros_like(x)
            line.narrow(axis, place, 1).copy_(x.narrow(axis, place, 1))
            yield line, (pixels, axis)


def pushed(x: Tensor, pixels: int, axis: int) -> Tensor:
    """x moved along an axis, zeros where nothing came from."""
    moved = x.roll(pixels, axis)
    count = min(abs(pixels), x.shape[axis])
    moved.narrow(axis, 0 if pixels > 0 else x.shape[axis] - count, count).zero_()
    return moved


def _rms(errors: list[float]) -> float:
    return math.sqrt(sum(error**2 for error in errors) / len(errors))
