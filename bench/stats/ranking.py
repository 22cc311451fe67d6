"""Ranks with ties, the Pareto front, and Kendall's tau."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

Row = TypeVar("Row")


def ranks(rows: Sequence[Row], slower: Callable[[Row, Row], bool]) -> list[int]:
    """Places of rows that are sorted by their figure: a row shares the place of the first row that it is not told apart from."""
    places: list[int] = []
    leader = 0
    for index, row in enumerate(rows):
        if slower(row, rows[leader]):
            leader = index
        places.append(leader + 1)
    return places


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Which of (cost, gain) no other point beats: none costs at most as much and gains at least as much, and differs (Pareto)."""

    def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
        return one != other and one[0] <= other[0] and one[1] >= other[1]

    return [not any(beats(other, point) for other in points) for point in points]


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Kendall's tau-b of two rankings of the same things, ties allowed; NaN where one of them ties everything."""
    a, b = np.sign(np.subtract.outer(first, first)), np.sign(np.subtract.outer(second, second))
    scale = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) / scale if scale else math.nan
