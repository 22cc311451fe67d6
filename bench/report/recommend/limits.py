"""State of a limit for a method: satisfied, inconclusive, violated or not measured, decided by the 95% interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.text import missing, short
from bench.spec import Record
from bench.stats.rounds import Interval
from bench.tables.accuracy import failure
from bench.tables.accuracy import reason as reason_of
from bench.tables.row import Row

STATES = ("satisfied", "inconclusive", "violated", "not measured")  # from best to worst


@dataclass(frozen=True)
class Check:
    """The result of checking a method against a limit."""

    what: str
    state: str  # one of STATES
    reason: str


def latency(row: Row, limit: float | None) -> Check:
    """Check the latency of a row against an upper limit in ms; None is no limit."""
    if missing(row["latency_ms"]):
        return Check("latency", "not measured", f"{row['latency_status']}: {row['latency_detail'] or 'no reason given'}")
    ends = ("latency_ms", "latency_lo_ms", "latency_hi_ms")
    interval = Interval(*(math.nan if missing(row[name]) else row[name] for name in ends))
    return _at_most("latency", interval, math.inf if limit is None else limit, "ms")


def memory(row: Row, limit: float) -> Check:
    """Check the peak memory of a row against an upper limit in bytes."""
    value = row["mem_peak_bytes"]
    if missing(value):
        status = row["memory_status"]
        return Check("memory", "not measured", "not measured" if missing(status) else f"{status}: {row['memory_detail']}")
    return _at_most("memory", Interval(value / 1e6, value / 1e6, value / 1e6), limit / 1e6, "MB")


def accuracy(interval: Interval | None, seeds: Sequence[Record], limit: float) -> Check:
    """Check an accuracy against a lower limit in percent; `interval` is None if it is not measured."""
    if interval is None:
        failed = failure(seeds)
        return Check("accuracy", "not measured", f"{failed.status}: {reason_of(failed, seeds)}" if failed else "not measured")
    negated = Interval(-interval.mid, -interval.hi, -interval.lo)  # a lower limit is an upper limit of the negated value
    ends = f" [{interval.lo:.1f}, {min(interval.hi, 100):.1f}]" if interval.lo == interval.lo else " with one seed"
    return Check("accuracy", state(negated, -limit), f"{interval.mid:.1f}%{ends}, at least {limit:g}%")


def _at_most(what: str, interval: Interval, limit: float, unit: str) -> Check:
    """Check an interval against an upper limit, which is infinite for no limit."""
    ends = (
        ""
        if interval.lo == interval.hi
        else " without an interval"
        if math.isnan(interval.lo)
        else f" [{short(interval.lo)}, {short(interval.hi)}]"
    )
    allowed = "" if math.isinf(limit) else f", at most {short(limit)} {unit}"
    return Check(what, state(interval, limit), f"{short(interval.mid)} {unit}{ends}{allowed}")


def state(interval: Interval, limit: float) -> str:
    """Return the state of an upper limit; an interval with NaN ends is inconclusive unless the limit is infinite."""
    if interval.hi <= limit or math.isinf(limit):
        return "satisfied"
    return "violated" if interval.lo > limit else "inconclusive"
