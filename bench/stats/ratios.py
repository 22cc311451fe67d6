"""Which of two methods is faster: ratios of latencies, their intervals, verdicts and ranks. Plain numpy, no torch.

Two methods of one group are compared round by round: what disturbs a round disturbs both, and the ratio of the two cancels it.
Records of different sessions share no rounds; their ratio has the wider interval of two independent means.
A difference smaller than a region of practical equivalence is none, however narrow the interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import accumulate
from typing import Any

import numpy as np

from bench.spec import Record
from bench.stats.rounds import Interval, clock_of, t95

SIGNED_RANKS = 6  # rounds from which signed ranks give an interval
UNKNOWN = Interval(math.nan, math.nan, math.nan)


def equivalence(device: str) -> float:
    """The region of practical equivalence as a share: a difference that nobody should act on."""
    return 0.02 if device == "cpu" else 0.01


def paired(over: Sequence[float | None], under: Sequence[float | None]) -> Interval:
    """Ratio of two methods' figures of the same rounds, by its logarithm: Hodges and Lehmann's estimate, Wilcoxon's 95% interval.

    A neighbour on the same core slows a round by half, now one method's, now the other's. A mean and a t-interval follow the few
    ratios that are far out, ranks do not. Below six rounds ranks reach no 95%, and the t-interval has to do.
    """
    logs = np.array([math.log(a / b) for a, b in zip(over, under) if a and b])
    if not len(logs):
        return UNKNOWN
    if len(logs) < SIGNED_RANKS:
        mean = float(logs.mean())
        if len(logs) < 2:
            return Interval(math.exp(mean), math.nan, math.nan)
        return _interval(mean, float(logs.std(ddof=1)) / math.sqrt(len(logs)), len(logs) - 1)
    walsh = np.sort(np.add.outer(logs, logs)[np.tril_indices(len(logs))] / 2)  # means of all pairs, each with itself too
    end = signed_rank_cut(len(logs))
    return Interval(*(math.exp(value) for value in (float(np.median(walsh)), walsh[end], walsh[-1 - end])))


@cache
def signed_rank_cut(count: int) -> int:
    """Largest w at which Wilcoxon's signed-rank statistic of that many differences is `w` or less in at most 2.5% of cases.

    Raises ValueError for so few differences that there is none.
    """
    if count < SIGNED_RANKS:
        raise ValueError(f"{count} differences are too few for a 95% interval of signed ranks")
    ways = [1]  # of choosing ranks, by their sum
    for rank in range(1, count + 1):
        longer = [0] * rank + ways
        ways = [a + b for a, b in zip(longer, [*ways, *[0] * rank])]
    below = list(accumulate(ways))
    return sum(number <= 0.025 * 2**count for number in below) - 1


def unpaired(over: Sequence[float | None], under: Sequence[float | None]) -> Interval:
    """The ratio for rounds that have nothing to do with each other (Welch's t-interval of the difference of log means)."""
    logs = [np.log([figure for figure in figures if figure]) for figures in (over, under)]
    if any(not len(one) for one in logs):
        return UNKNOWN
    mean = float(logs[0].mean() - logs[1].mean())
    if any(len(one) < 2 for one in logs):
        return Interval(math.exp(mean), math.nan, math.nan)
    return _welch(mean, [float(one.var(ddof=1)) / len(one) for one in logs], [len(one) for one in logs])


def across_sessions(over: Sequence[float | None], under: Sequence[float | None]) -> Interval:
    """`unpaired`, widened to the ratio of the fastest rounds.

    A session may meet a neighbour that slows all of it by half, which its own rounds do not show. But noise only ever slows, and
    the fastest rounds of two sessions agree where the code is the same: what they do not confirm is not known.
    """
    within = unpaired(over, under)
    if math.isnan(within.mid):
        return within
    best = min(filter(None, over)) / min(filter(None, under))
    return Interval(within.mid, min(within.lo, best), max(within.hi, best))


def from_intervals(over: Interval, under: Interval, counts: tuple[int, int]) -> Interval:
    """`unpaired` where only the two figures, their intervals and the numbers of rounds (or windows) behind them are known."""
    mean = math.log(over.mid / under.mid)
    if min(counts) < 2 or any(math.isnan(one.lo) for one in (over, under)):
        return Interval(math.exp(mean), math.nan, math.nan)
    errors = [math.log(one.hi / one.lo) / 2 / t95(count - 1) for one, count in zip((over, under), counts)]
    return _welch(mean, [error**2 for error in errors], counts)


def exact(over: float, under: float) -> Interval:
    """Ratio of two figures without noise: the interval is the ratio itself. Two zeros are equal."""
    ratio = over / under if under else math.inf if over else 1.0
    return Interval(ratio, ratio, ratio)


def difference(one: Sequence[float], other: Sequence[float]) -> Interval:
    """The mean of one less that of the other, and Welch's 95% t-interval; its ends are NaN where one is a single value."""
    values = [np.asarray(figures) for figures in (one, other)]
    mean = float(values[0].mean() - values[1].mean())
    if any(len(figures) < 2 for figures in values):
        return Interval(mean, math.nan, math.nan)
    error, freedom = _of_difference([float(v.var(ddof=1)) / len(v) for v in values], [len(v) for v in values])
    half = t95(freedom) * error
    return Interval(mean, mean - half, mean + half)


def _welch(mean: float, errors: Sequence[float], counts: Sequence[int]) -> Interval:
    """The ratio from a difference of log means, their squared standard errors and the numbers of observations."""
    return _interval(mean, *_of_difference(errors, counts))


def _of_difference(errors: Sequence[float], counts: Sequence[int]) -> tuple[float, int]:
    """Standard error and Welch's degrees of freedom of a difference of means from the squared standard errors of both."""
    error = sum(errors)
    freedom = error**2 / sum(e**2 / (n - 1) for e, n in zip(errors, counts)) if error else min(counts) - 1
    return math.sqrt(error), max(int(freedom), 1)


def _interval(mean: float, error: float, freedom: int) -> Interval:
    half = t95(freedom) * error
    return Interval(math.exp(mean), math.exp(mean - half), math.exp(mean + half))


def shared_clock(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The clock by which two records of as many threads are compared: that of the more disturbed of the two."""
    return clock_of(bool(one["contended"] or other["contended"]), int(one["threads"]))


def clocks(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, str]:
    """The clock of each of two records: the shared one, but with different numbers of threads that of its own headline.

    Processor time adds up over threads, so that no clock but the wall's says the same of both.
    """
    if one["threads"] == other["threads"]:
        return (shared_clock(one, other),) * 2
    return shared_clock(one, one), shared_clock(other, other)


def verdict(ratio: Interval, region: float, same: float = 1.5) -> str:
    """What a ratio of times says of the one above the bar: faster, slower, same or unclear.

    Decided only where the whole interval lies outside the region of practical equivalence; the same where it lies within `same`
    times that region; unclear otherwise, and where there is no interval.
    """
    if math.isnan(ratio.lo):
        return "unclear"
    if ratio.hi < 1 / (1 + region):
        return "faster"
    if ratio.lo > 1 + region:
        return "slower"
    wide = 1 + same * region
    return "same" if 1 / wide < ratio.lo and ratio.hi < wide else "unclear"


def verdict_of(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The verdict on the latency of one record's facts against another's: {rounds, contended, threads, device, session}."""
    return verdict(ratio(one, other), equivalence(one["device"]))


def ratio(one: Mapping[str, Any], other: Mapping[str, Any]) -> Interval:
    """Latency of one over that of the other: paired where both were measured in one session."""
    first, second = clocks(one, other)
    compare = paired if one["session"] == other["session"] else across_sessions
    return compare(one["rounds"].get(first, ()), other["rounds"].get(second, ()))


def timing_of(record: Record) -> dict[str, Any]:
    """What `ratio` asks of a latency record."""
    cell = record.job.cell
    return {
        "rounds": record.rounds,
        "contended": record.values["contended"],
        "threads": cell.threads,
        "device": cell.device,
        "session": record.session,
    }
