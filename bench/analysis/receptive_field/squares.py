"""How large an area holds a share of the gradient: in squares about its centre, and in the pixels that contribute most."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ROUNDING = 1e-12  # of a share: sums of the same numbers in another order


class Curve(NamedTuple):
    """Growing squares about one point: side in px, share of the sum, share of the image's area; (S,) each."""

    side: np.ndarray
    mass: np.ndarray
    area: np.ndarray

    def first(self, share: float) -> int:
        """Index of the smallest square that holds at least this share."""
        return int(np.argmax(self.mass >= share - ROUNDING))


def squares(scores: np.ndarray, centre: tuple[float, float]) -> Curve:
    """All squares about a point of a map (H, W) of scores that are not negative, up to one that covers the map.

    `centre` is in pixels, (0, 0) in the middle of the first, and each of its numbers a whole or a half one: about the middle of a
    pixel sides are odd, between two even. Where the axes differ in that, a side along the second is one longer. At the border
    squares are cut, and counted as they are cut.
    """
    sums = np.pad(scores.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    first = 2 - round(2 * centre[0] + 1) % 2  # 1 about the middle of a pixel, 2 between two
    most = 2 * max(scores.shape) + 1
    found = [_square(sums, centre, side) for side in range(first, most + 1, 2)]
    full = next(index for index, (_, area) in enumerate(found) if area == scores.size) + 1
    mass, area = np.array(found[:full], dtype=np.float64).T
    return Curve(np.arange(first, most + 1, 2)[:full], mass / mass[-1], area / scores.size)


def _square(sums: np.ndarray, centre: tuple[float, float], side: int) -> tuple[float, int]:
    """Sum and area of a square, from the sums of all rectangles that begin at the first pixel."""
    ends = []
    for middle, pixels in zip(centre, (size - 1 for size in sums.shape)):
        low, high = np.ceil(middle - side / 2), np.floor(middle + side / 2)
        ends.append((int(max(low, 0)), int(min(high, pixels - 1)) + 1))
    (top, bottom), (left, right) = ends
    mass = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return float(mass), (bottom - top) * (right - left)


def fewest(scores: np.ndarray, share: float) -> float:
    """The share of the area of the smallest set of pixels that holds at least this share of the sum."""
    mass = np.sort(scores.astype(np.float64), axis=None)[::-1].cumsum()
    return float(np.argmax(mass >= (share - ROUNDING) * mass[-1]) + 1) / scores.size
