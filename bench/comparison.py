"""Which of two methods is faster: ratios of latencies, their intervals, verdicts and ranks. Plain numpy, no torch.

Two methods of one group are compared round by round: what disturbs a round disturbs both, and the ratio of the two cancels it.
Records of different sessions share no rounds; their ratio has the wider interval of two independent means.
A difference smaller than a region of practical equivalence is none, however narrow the interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from bench.stats import Interval, clock_of, t95

UNKNOWN = Interval(math.nan, math.nan, math.nan)
Row = TypeVar("Row")
Rounds = Mapping[str, Sequence[float | None]]


def equivalence(device: str) -> float:
    """The region of practical equivalence as a share: a difference that nobody should act on."""
    return 0.02 if device == "cpu" else 0.01


def paired(over: Sequence[float | None], under: Sequence[float | None]) -> Interval:
    """Ratio of two methods' figures of the same rounds: geometric mean and 95% t-interval of the log ratios."""
    logs = [math.log(a / b) for a, b in zip(over, under) if a and b]
    if not logs:
        return UNKNOWN
    mean = float(np.mean(logs))
    if len(logs) < 2:
        return Interval(math.exp(mean), math.nan, math.nan)
    return _interval(mean, float(np.std(logs, ddof=1)) / math.sqrt(len(logs)), len(logs) - 1)


def unpaired(over: Sequence[float | None], under: Sequence[float | None]) -> Interval:
    """The same for rounds that have nothing to do with each other (Welch's t-interval of the difference of log means)."""
    logs = [np.log([figure for figure in figures if figure]) for figures in (over, under)]
    if any(not len(one) for one in logs):
        return UNKNOWN
    mean = float(logs[0].mean() - logs[1].mean())
    if any(len(one) < 2 for one in logs):
        return Interval(math.exp(mean), math.nan, math.nan)
    errors = [float(one.var(ddof=1)) / len(one) for one in logs]
    error = sum(errors)
    freedom = error**2 / sum(e**2 / (len(one) - 1) for e, one in zip(errors, logs)) if error else min(len(one) for one in logs) - 1
    return _interval(mean, math.sqrt(error), max(int(freedom), 1))


def _interval(mean: float, error: float, freedom: int) -> Interval:
    half = t95(freedom) * error
    return Interval(math.exp(mean), math.exp(mean - half), math.exp(mean + half))


def common_clock(busy: bool, threads: int) -> Callable[[Rounds], Sequence[float | None]]:
    """The figures by which two records are compared: those of one clock, that of the more disturbed of the two."""
    clock = clock_of(busy, threads)
    return lambda rounds: rounds.get(clock, ())


def verdict(ratio: Interval, region: float) -> str:
    """What a ratio of times says of the one above the bar: faster, slower, same or unclear.

    Decided only where the whole interval lies outside the region of practical equivalence; the same where it lies within one and a
    half times that region; unclear otherwise, and where there is no interval.
    """
    if math.isnan(ratio.lo):
        return "unclear"
    if ratio.hi < 1 / (1 + region):
        return "faster"
    if ratio.lo > 1 + region:
        return "slower"
    wide = 1 + 1.5 * region
    return "same" if 1 / wide < ratio.lo and ratio.hi < wide else "unclear"


def ranks(rows: Sequence[Row], slower: Callable[[Row, Row], bool]) -> list[int]:
    """Places of rows that are sorted by their figure: a row shares the place of the first row that it is not told apart from."""
    places: list[int] = []
    leader = 0
    for index, row in enumerate(rows):
        if slower(row, rows[leader]):
            leader = index
        places.append(leader + 1)
    return places


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Kendall's tau-b of two rankings of the same things, ties allowed; NaN where one of them ties everything."""
    a, b = np.sign(np.subtract.outer(first, first)), np.sign(np.subtract.outer(second, second))
    scale = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) / scale if scale else math.nan


def told_apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The verdict on the latency of one record's facts against another's: {rounds, contended, threads, device, session}."""
    return verdict(ratio(one, other), equivalence(one["device"]))


def ratio(one: Mapping[str, Any], other: Mapping[str, Any]) -> Interval:
    """Latency of one over that of the other: paired where both were measured in one session, else unpaired."""
    figures = common_clock(bool(one["contended"] or other["contended"]), int(one["threads"]))
    compare = paired if one["session"] == other["session"] else unpaired
    return compare(figures(one["rounds"]), figures(other["rounds"]))
