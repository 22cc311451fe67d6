"""Area that holds a share of the gradient: squares around its centre, and the pixels that contribute most."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ROUNDING = 1e-12  # tolerance of a share: sums of the same values in another order


class Curve(NamedTuple):
    """Squares of increasing size around one point: side in px, share of the sum, share of the image's area; (S,) each."""

    side: np.ndarray
    mass: np.ndarray
    area: np.ndarray

    def first(self, share: float) -> int:
        """Return the index of the smallest square that holds at least this share."""
        return int(np.argmax(self.mass >= share - ROUNDING))


def squares(scores: np.ndarray, centre: tuple[float, float]) -> Curve:
    """Return the sums over all squares around a point of a map (H, W) of non-negative scores, until one covers the map.

    `centre` is in pixels, with (0, 0) the centre of the first pixel; both coordinates are multiples of 0.5. Sides are odd around
    the centre of a pixel and even around a point between two pixels. If the axes differ in this, the square is one pixel longer
    along the second axis. Squares are clipped at the border; their sums and areas are those of the clipped squares.
    """
    sums = np.pad(scores.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    first = 2 - round(2 * centre[0] + 1) % 2  # 1 around the centre of a pixel, 2 between two pixels
    most = 2 * max(scores.shape) + 1
    sums_and_areas = [_square(sums, centre, side) for side in range(first, most + 1, 2)]
    full = next(index for index, (_, area) in enumerate(sums_and_areas) if area == scores.size) + 1
    mass, area = np.array(sums_and_areas[:full], dtype=np.float64).T
    return Curve(np.arange(first, most + 1, 2)[:full], mass / mass[-1], area / scores.size)


def _square(sums: np.ndarray, centre: tuple[float, float], side: int) -> tuple[float, int]:
    """Return sum and area of a clipped square, given the cumulative sums over both axes."""
    ends = []
    for middle, pixels in zip(centre, (size - 1 for size in sums.shape)):
        low, high = np.ceil(middle - side / 2), np.floor(middle + side / 2)
        ends.append((int(max(low, 0)), int(min(high, pixels - 1)) + 1))
    (top, bottom), (left, right) = ends
    mass = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return float(mass), (bottom - top) * (right - left)


def smallest_area(scores: np.ndarray, share: float) -> float:
    """Return the area of the smallest set of pixels that holds at least this share of the sum, relative to the image."""
    mass = np.sort(scores.astype(np.float64), axis=None)[::-1].cumsum()
    return float(np.argmax(mass >= (share - ROUNDING) * mass[-1]) + 1) / scores.size
