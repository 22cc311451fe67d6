"""Statistics of repeated timings. The unit of replication is the round, not the call."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

# Two-sided 95% quantiles of Student's t for 1 to 30 degrees of freedom. Not scipy's: exact quantiles would change published digits.
T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
CLEAN_PER_ROUND = 3  # minimum number of clean samples for the median of a round
CLEAN_SHARE = 0.2  # minimum share of clean samples; below it CPU time is reported instead of wall time


class Interval(NamedTuple):
    """An estimate with its 95% interval. The ends are NaN if there is only one round."""

    mid: float
    lo: float
    hi: float


class Round(NamedTuple):
    """The samples of a round: wall and CPU time in seconds per call, and the disturbances of each sample."""

    wall: list[float]
    cpu: list[float]
    switches: list[int]  # involuntary context switches per sample
    faults: list[float]  # minor page faults per call
    facts: Mapping[str, float | str | None] = {}  # further observations, each with its own column


def t95(dof: int) -> float:
    """Return the two-sided 95% quantile of Student's t, to three digits. Raises ValueError below one degree of freedom."""
    if dof < 1:
        raise ValueError("an interval needs at least two rounds")
    return T95[dof - 1] if dof <= len(T95) else 1.96 + 2.4 / dof


def log_interval(values: Sequence[float]) -> Interval:
    """Return the median of positive values with the 95% t-interval of the mean of their logarithms, centred at the median."""
    mid = float(np.median(values))
    if len(values) < 2:
        return Interval(mid, float("nan"), float("nan"))
    logs = np.log(values)
    half = t95(len(values) - 1) * float(logs.std(ddof=1)) / float(np.sqrt(len(values)))
    return Interval(mid, mid * float(np.exp(-half)), mid * float(np.exp(half)))


def clean(samples: Round) -> list[float]:
    """Return the wall times of the samples without an involuntary context switch."""
    return [wall for wall, switches in zip(samples.wall, samples.switches) if switches == 0]


def clean_share(rounds: Sequence[Round]) -> float:
    """Return the share of clean samples over all rounds."""
    switches = [count for samples in rounds for count in samples.switches]
    return float(np.mean([count == 0 for count in switches]))


def contended(rounds: Sequence[Round]) -> bool:
    """Return whether a CPU has too few clean samples for their medians. Always False for a GPU, whose events exclude the CPU."""
    return bool(rounds[0].cpu) and _too_few_clean(rounds)


def _too_few_clean(rounds: Sequence[Round]) -> bool:
    needed = [min(CLEAN_PER_ROUND, len(samples.wall)) for samples in rounds]
    few = any(len(clean(samples)) < need for samples, need in zip(rounds, needed))
    return few or clean_share(rounds) < CLEAN_SHARE


CLOCKS: Mapping[str, Callable[[Round], Sequence[float]]] = {
    "clean": clean,  # wall time of the clean samples
    "cpu": lambda samples: samples.cpu,
    "wall": lambda samples: samples.wall,  # wall time of all samples
}


def medians(rounds: Sequence[Round]) -> dict[str, list[float | None]]:
    """Return the median of each round by each clock in milliseconds. None if a clock has no sample in the round."""

    def milliseconds(seconds: Sequence[float]) -> float | None:
        return float(np.median(seconds)) * 1e3 if len(seconds) else None

    return {clock: [milliseconds(read(samples)) for samples in rounds] for clock, read in CLOCKS.items()}


def clock_of(contended: bool, threads: int) -> str:
    """Return the clock of the headline. CPU time adds up over threads, so it replaces wall time for one thread only."""
    return "clean" if not contended else "cpu" if threads == 1 else "wall"


def half_width(interval: Interval) -> float:
    """Return half of the width of an interval relative to its midpoint. Infinite if it is unknown."""
    width = (interval.hi - interval.lo) / 2 / interval.mid
    return width if width == width else math.inf


def headline(rounds: Sequence[Round], threads: int) -> Interval:
    """Return the latency of a cell in seconds: the median over rounds of the medians by the clock of `clock_of`."""
    read = CLOCKS[clock_of(contended(rounds), threads)]
    return log_interval([float(np.median(read(samples))) for samples in rounds])
