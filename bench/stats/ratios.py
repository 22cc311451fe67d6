"""Ratios of latencies, their confidence intervals and verdicts. Uses numpy only.

Two methods of one group are compared round by round: background load affects both methods in a round and cancels in their ratio.
Records of different sessions share no rounds, so their ratio has the wider interval of two independent means. A difference within
the region of practical equivalence is ignored, however narrow the interval.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import numpy as np

from bench.spec import Record
from bench.stats.rounds import Interval, clock_of, t95

SIGNED_RANKS = 6  # minimum number of rounds for an interval from signed ranks


@dataclass(frozen=True)
class Timed:
    """A latency as it is compared: the rounds of each clock, and what decides how two of them pair."""

    rounds: Mapping[str, Sequence[float | None]]  # clock -> milliseconds per call in each round
    contended: bool
    threads: int
    device: str
    session: Hashable  # rounds of one session were interleaved, so they pair

    @classmethod
    def of(cls, record: Record) -> Timed:
        """Return the latency of a record with status ok."""
        cell = record.job.cell
        return cls(record.rounds, bool(record.values.get("contended")), cell.threads, cell.device, record.session)


UNKNOWN = Interval(math.nan, math.nan, math.nan)


def equivalence(device: str) -> float:
    """Return the region of practical equivalence as a relative difference."""
    return 0.02 if device == "cpu" else 0.01


def paired(numerator: Sequence[float | None], denominator: Sequence[float | None]) -> Interval:
    """Return the ratio of two methods over the same rounds: Hodges-Lehmann estimate and Wilcoxon 95% interval of its logarithm.

    Another process on the core makes some rounds of one method or the other 50% slower. Such outliers affect a mean and its
    t-interval, but not ranks. Below six rounds, ranks give no 95% interval and the t-interval is used.
    """
    logs = np.array([math.log(a / b) for a, b in zip(numerator, denominator) if a and b])
    if not len(logs):
        return UNKNOWN
    if len(logs) < SIGNED_RANKS:
        mean = float(logs.mean())
        if len(logs) < 2:
            return Interval(math.exp(mean), math.nan, math.nan)
        return _interval(mean, float(logs.std(ddof=1)) / math.sqrt(len(logs)), len(logs) - 1)
    walsh = np.sort(np.add.outer(logs, logs)[np.tril_indices(len(logs))] / 2)  # means of all pairs, including each with itself
    cut = signed_rank_cut(len(logs))
    return Interval(*(math.exp(value) for value in (float(np.median(walsh)), walsh[cut], walsh[-1 - cut])))


@cache
def signed_rank_cut(count: int) -> int:
    """Return the largest w with P(W <= w) <= 2.5% for Wilcoxon's signed-rank statistic W of `count` differences.

    Raises ValueError if there are too few differences.
    """
    if count < SIGNED_RANKS:
        raise ValueError(f"{count} differences are too few for a 95% interval of signed ranks")
    ways = [1]  # number of subsets of the ranks, by their sum
    for rank in range(1, count + 1):
        longer = [0] * rank + ways
        ways = [a + b for a, b in zip(longer, [*ways, *[0] * rank])]
    below = list(accumulate(ways))
    return sum(number <= 0.025 * 2**count for number in below) - 1


def unpaired(numerator: Sequence[float | None], denominator: Sequence[float | None]) -> Interval:
    """Return the ratio for independent rounds: Welch's t-interval of the difference of the log means."""
    logs = [np.log([value for value in values if value]) for values in (numerator, denominator)]
    if any(not len(sample) for sample in logs):
        return UNKNOWN
    mean = float(logs[0].mean() - logs[1].mean())
    if any(len(sample) < 2 for sample in logs):
        return Interval(math.exp(mean), math.nan, math.nan)
    return _welch(mean, [float(sample.var(ddof=1)) / len(sample) for sample in logs], [len(sample) for sample in logs])


def across_sessions(numerator: Sequence[float | None], denominator: Sequence[float | None]) -> Interval:
    """Return `unpaired` with the interval extended to the ratio of the fastest rounds.

    Background load can slow a whole session by 50%, which its own rounds do not show. Noise only increases times, so the fastest
    rounds of two sessions agree if the code is the same. The interval includes their ratio.
    """
    within = unpaired(numerator, denominator)
    if math.isnan(within.mid):
        return within
    best = min(filter(None, numerator)) / min(filter(None, denominator))
    return Interval(within.mid, min(within.lo, best), max(within.hi, best))


def from_intervals(numerator: Interval, denominator: Interval, counts: tuple[int, int]) -> Interval:
    """Return `unpaired` from two intervals and their numbers of rounds (or windows)."""
    mean = math.log(numerator.mid / denominator.mid)
    if min(counts) < 2 or any(math.isnan(interval.lo) for interval in (numerator, denominator)):
        return Interval(math.exp(mean), math.nan, math.nan)
    errors = [math.log(interval.hi / interval.lo) / 2 / t95(count - 1) for interval, count in zip((numerator, denominator), counts)]
    return _welch(mean, [error**2 for error in errors], counts)


def exact(numerator: float, denominator: float) -> Interval:
    """Return the ratio of two values without noise. The interval is the ratio itself, and 0 / 0 is 1."""
    ratio = numerator / denominator if denominator else math.inf if numerator else 1.0
    return Interval(ratio, ratio, ratio)


def difference(first: Sequence[float], second: Sequence[float]) -> Interval:
    """Return the mean of `first` minus that of `second` with Welch's 95% t-interval. Its ends are NaN for a single value."""
    values = [np.asarray(sample) for sample in (first, second)]
    mean = float(values[0].mean() - values[1].mean())
    if any(len(sample) < 2 for sample in values):
        return Interval(mean, math.nan, math.nan)
    error, freedom = _standard_error([float(v.var(ddof=1)) / len(v) for v in values], [len(v) for v in values])
    half = t95(freedom) * error
    return Interval(mean, mean - half, mean + half)


def _welch(mean: float, errors: Sequence[float], counts: Sequence[int]) -> Interval:
    """Return the ratio from a difference of log means, their squared standard errors and the numbers of observations."""
    return _interval(mean, *_standard_error(errors, counts))


def _standard_error(errors: Sequence[float], counts: Sequence[int]) -> tuple[float, int]:
    """Return the standard error and Welch's degrees of freedom of a difference of means from both squared standard errors."""
    error = sum(errors)
    freedom = error**2 / sum(e**2 / (n - 1) for e, n in zip(errors, counts)) if error else min(counts) - 1
    return math.sqrt(error), max(int(freedom), 1)


def _interval(mean: float, error: float, freedom: int) -> Interval:
    half = t95(freedom) * error
    return Interval(math.exp(mean), math.exp(mean - half), math.exp(mean + half))


def shared_clock(first: Timed, second: Timed) -> str:
    """Return the clock for comparing two latencies with the same number of threads. One contended latency decides for both."""
    return clock_of(first.contended or second.contended, first.threads)


def clocks(first: Timed, second: Timed) -> tuple[str, str]:
    """Return the clocks of two latencies: the shared one, or each one's own if the numbers of threads differ.

    CPU time adds up over threads, so CPU times with different numbers of threads are not comparable.
    """
    if first.threads == second.threads:
        return (shared_clock(first, second),) * 2
    return shared_clock(first, first), shared_clock(second, second)


def verdict(ratio: Interval, region: float, same: float = 1.5) -> str:
    """Return the verdict on the numerator of a ratio of times: faster, slower, same or unclear.

    It is "faster" or "slower" if the whole interval is outside the region of practical equivalence, "same" if it is within `same`
    times that region, and "unclear" otherwise or without an interval.
    """
    if math.isnan(ratio.lo):
        return "unclear"
    if ratio.hi < 1 / (1 + region):
        return "faster"
    if ratio.lo > 1 + region:
        return "slower"
    wide = 1 + same * region
    return "same" if 1 / wide < ratio.lo and ratio.hi < wide else "unclear"


def verdict_of(numerator: Timed, denominator: Timed) -> str:
    """Return the verdict on the latency of `numerator` relative to `denominator`."""
    return verdict(ratio(numerator, denominator), equivalence(numerator.device))


def slower(latency: Timed, leader: Timed) -> bool:
    """Return True if a latency is significantly longer than that of the leader."""
    return is_slower(ratio(latency, leader), latency.device)


def is_slower(ratio: Interval, device: str) -> bool:
    """Return True if a ratio of times is significantly above 1 on a device."""
    return verdict(ratio, equivalence(device)) == "slower"


def ratio(numerator: Timed, denominator: Timed) -> Interval:
    """Return the latency of `numerator` divided by that of `denominator`, paired if both were measured in one session."""
    first, second = clocks(numerator, denominator)
    compare = paired if numerator.session == denominator.session else across_sessions
    return compare(numerator.rounds.get(first, ()), denominator.rounds.get(second, ()))
