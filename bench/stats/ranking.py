"""Ranks with ties, the Pareto front, and Kendall's tau."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

Row = TypeVar("Row")


def ranks(rows: Sequence[Row], slower: Callable[[Row, Row], bool]) -> list[int]:
    """Rank sorted rows. A row that is not significantly slower than the leader of the current rank has the same rank."""
    assigned: list[int] = []
    leader = 0
    for index, row in enumerate(rows):
        if slower(row, rows[leader]):
            leader = index
        assigned.append(leader + 1)
    return assigned


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Return which points (cost, gain) are Pareto-optimal: minimum cost, maximum gain."""

    def dominates(point: tuple[float, float], other: tuple[float, float]) -> bool:
        return point != other and point[0] <= other[0] and point[1] >= other[1]

    return [not any(dominates(other, point) for other in points) for point in points]


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Kendall's tau-b of two rankings of the same items. Ties are allowed. NaN if all items of a ranking are tied."""
    from scipy.stats import kendalltau  # scipy.stats takes 0.8 s to import

    return float(kendalltau(first, second).statistic) if len(first) > 1 else math.nan
