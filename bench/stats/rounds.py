"""Statistics of repeated timings: plain numpy. The unit of replication is the round, not the call."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

# Two-sided 95% quantiles of Student's t for 1..30 degrees of freedom; beyond, the normal's and its first correction.
T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
CLEAN_PER_ROUND = 3  # undisturbed samples that a round needs for its median
CLEAN_SHARE = 0.2  # below this share of undisturbed samples, processor time speaks


class Interval(NamedTuple):
    """A location with its 95% interval; the ends are NaN where one round leaves them unknown."""

    mid: float
    lo: float
    hi: float


class Round(NamedTuple):
    """Samples of one round, one number a sample: seconds of wall and processor time a call, and what disturbed it."""

    wall: list[float]
    cpu: list[float]
    switches: list[int]  # involuntary context switches
    faults: list[float]  # minor page faults a call
    facts: Mapping[str, float | str | None] = {}  # what else was seen: columns of their own


def t95(dof: int) -> float:
    """Two-sided 95% quantile of Student's t; raises ValueError below one degree of freedom."""
    if dof < 1:
        raise ValueError("an interval needs at least two rounds")
    return T95[dof - 1] if dof <= len(T95) else 1.96 + 2.4 / dof


def log_interval(values: Sequence[float]) -> Interval:
    """Median of positive values and the 95% t-interval of their logarithm's mean, moved to the median."""
    mid = float(np.median(values))
    if len(values) < 2:
        return Interval(mid, float("nan"), float("nan"))
    logs = np.log(values)
    half = t95(len(values) - 1) * float(logs.std(ddof=1)) / float(np.sqrt(len(values)))
    return Interval(mid, mid * float(np.exp(-half)), mid * float(np.exp(half)))


def clean(one: Round) -> list[float]:
    """Wall times of the samples that no involuntary switch disturbed."""
    return [wall for wall, switches in zip(one.wall, one.switches) if switches == 0]


def clean_share(rounds: Sequence[Round]) -> float:
    switches = [count for one in rounds for count in one.switches]
    return float(np.mean([count == 0 for count in switches]))


def contended(rounds: Sequence[Round]) -> bool:
    """Whether too few samples are undisturbed for their medians to speak."""
    needed = [min(CLEAN_PER_ROUND, len(one.wall)) for one in rounds]
    few = any(len(clean(one)) < need for one, need in zip(rounds, needed))
    return few or clean_share(rounds) < CLEAN_SHARE


CLOCKS: Mapping[str, Callable[[Round], Sequence[float]]] = {
    "clean": clean,  # undisturbed samples of the wall clock
    "cpu": lambda one: one.cpu,  # processor time
    "wall": lambda one: one.wall,  # every sample of the wall clock
}


def medians(rounds: Sequence[Round]) -> dict[str, list[float | None]]:
    """The figure of each round by each clock, in milliseconds; None where a clock has no sample in it."""

    def figure(samples: Sequence[float]) -> float | None:
        return float(np.median(samples)) * 1e3 if len(samples) else None

    return {clock: [figure(read(one)) for one in rounds] for clock, read in CLOCKS.items()}


def clock_of(busy: bool, threads: int) -> str:
    """The clock of the headline. Processor time adds up over threads, so it stands in for the wall time of one thread only."""
    return "clean" if not busy else "cpu" if threads == 1 else "wall"


def half_width(interval: Interval) -> float:
    """Half of an interval's width relative to its middle; infinite where it is unknown."""
    width = (interval.hi - interval.lo) / 2 / interval.mid
    return width if width == width else math.inf


def headline(rounds: Sequence[Round], threads: int) -> Interval:
    """The figure of a cell in seconds: median over rounds of the medians by the clock that can be trusted."""
    read = CLOCKS[clock_of(busy(rounds), threads)]
    return log_interval([float(np.median(read(one))) for one in rounds])


def busy(rounds: Sequence[Round]) -> bool:
    """Whether other processes disturbed a CPU too much; a GPU's events do not see them."""
    return bool(rounds[0].cpu) and contended(rounds)
