"""Closed-form costs under the convention of the tables: real operations, one multiply-add = 2.

complex x complex 6, complex x real 2, complex multiply-add 8; a real 2-D transform as in `rfft2_flops`. Element-wise real
operations (bias, activation, softmax) are left out of the closed forms; the counter reports them in a column of their own.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Flops(NamedTuple):
    """FLOPs of one inference call: making the kernel (once for given weights) and applying it (once an image)."""

    kernel: int
    apply: int


def rfft2_flops(height: int, width: int) -> int:
    """One real transform, either way: 2.5 W log2 W a row, 5 H log2 H a column of the half spectrum (benchFFT convention)."""
    rows = 2.5 * height * width * math.log2(width)
    columns = 5 * (width // 2 + 1) * height * math.log2(height)
    return round(rows + columns)


def bins(height: int, width: int) -> int:
    """Points of a half spectrum."""
    return height * (width // 2 + 1)
