"""A power law through a few points: least squares on logarithms. Plain numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bench.stats.rounds import Interval, t95


def exponent(x: Sequence[float], y: Sequence[float]) -> Interval:
    """a of y ~ x^a and its 95% t-interval, from positive values; its ends are NaN with two points, all is NaN with fewer.

    The interval says how far the points are from a straight line, not how well each is known.
    """
    logs, values = np.log(x), np.log(y)
    if len(set(x)) < 2:
        return Interval(math.nan, math.nan, math.nan)
    centred = logs - logs.mean()
    spread = float(centred @ centred)
    slope = float(centred @ values) / spread
    if len(logs) < 3:
        return Interval(slope, math.nan, math.nan)
    left = values - values.mean() - slope * centred
    half = t95(len(logs) - 2) * math.sqrt(float(left @ left) / (len(logs) - 2) / spread)
    return Interval(slope, slope - half, slope + half)


def text(fitted: Interval) -> str:
    """The exponent and half of its interval."""
    if math.isnan(fitted.mid):
        return ""
    half = "" if math.isnan(fitted.lo) else f" ±{(fitted.hi - fitted.lo) / 2:.2f}"
    return f"{fitted.mid:.2f}{half}"
