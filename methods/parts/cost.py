"""Closed-form FLOPs in real operations; one multiply-add counts 2.

Complex x complex counts 6, complex x real 2, a complex multiply-add 8, and a real 2-D transform as in `rfft2_flops`. Element-wise
real operations (bias, activation, softmax) are not included; the operation counter reports them in a separate column.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Flops(NamedTuple):
    """FLOPs of one inference call: computing the kernel (once per weight update) and applying it (once per image)."""

    kernel: int
    apply: int


def rfft2_flops(height: int, width: int) -> int:
    """Return the FLOPs of one real 2-D transform or its inverse, by the benchFFT convention.

    A row counts 2.5 W log2 W, a column of the half spectrum 5 H log2 H.
    """
    rows = 2.5 * height * width * math.log2(width)
    columns = 5 * (width // 2 + 1) * height * math.log2(height)
    return round(rows + columns)


def bins(height: int, width: int) -> int:
    """Return the number of points of a half spectrum."""
    return height * (width // 2 + 1)
