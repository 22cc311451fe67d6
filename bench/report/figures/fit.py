"""Power-law fit by least squares on logarithms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bench.stats.rounds import Interval, t95


def exponent(x: Sequence[float], y: Sequence[float]) -> Interval:
    """Return the exponent a of y ~ x^a and its 95% t-interval, for positive values.

    The ends are NaN with two points; all is NaN with fewer. The interval reflects the deviation from a power law, not the
    measurement errors of the points.
    """
    logs, values = np.log(x), np.log(y)
    if len(set(x)) < 2:
        return Interval(math.nan, math.nan, math.nan)
    centred = logs - logs.mean()
    spread = float(centred @ centred)
    slope = float(centred @ values) / spread
    if len(logs) < 3:
        return Interval(slope, math.nan, math.nan)
    residuals = values - values.mean() - slope * centred
    half = t95(len(logs) - 2) * math.sqrt(float(residuals @ residuals) / (len(logs) - 2) / spread)
    return Interval(slope, slope - half, slope + half)


def text(fitted: Interval) -> str:
    """Format an exponent and the half-width of its interval."""
    if math.isnan(fitted.mid):
        return ""
    half = "" if math.isnan(fitted.lo) else f" ±{(fitted.hi - fitted.lo) / 2:.2f}"
    return f"{fitted.mid:.2f}{half}"
