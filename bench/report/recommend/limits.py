"""How a method stands to a limit: kept, unclear, broken or unknown, by the whole 95% interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.text import missing, short
from bench.spec import Record
from bench.stats.rounds import Interval
from bench.tables import accuracy as learned
from bench.tables.cells import Row

STATES = ("kept", "unclear", "broken", "unknown")  # from the best to the worst


@dataclass(frozen=True)
class Check:
    """A limit and how a method stands to it, in words."""

    what: str
    state: str  # of STATES
    reason: str


def latency(row: Row, limit: float | None) -> Check:
    if missing(row["latency_ms"]):
        return Check("latency", "unknown", f"{row['latency_status']}: {row['latency_detail'] or 'no reason given'}")
    found = Interval(*(math.nan if missing(row[name]) else row[name] for name in ("latency_ms", "latency_lo_ms", "latency_hi_ms")))
    return _within("latency", found, math.inf if limit is None else limit, "ms")


def memory(row: Row, limit: float) -> Check:
    value = row["mem_peak_bytes"]
    if missing(value):
        status = row["memory_status"]
        return Check("memory", "unknown", "not measured" if missing(status) else f"{status}: {row['memory_detail']}")
    return _within("memory", Interval(value / 1e6, value / 1e6, value / 1e6), limit / 1e6, "MB")


def accuracy(found: Interval | None, seeds: Sequence[Record], limit: float) -> Check:
    if found is None:
        failed = learned.failure(seeds)
        return Check("accuracy", "unknown", f"{failed.status}: {learned.reason(failed, seeds)}" if failed else "not measured")
    mirrored = Interval(-found.mid, -found.hi, -found.lo)  # at least: the same question with the signs changed
    ends = f" [{found.lo:.1f}, {min(found.hi, 100):.1f}]" if found.lo == found.lo else " with one seed"
    return Check("accuracy", state(mirrored, -limit), f"{found.mid:.1f}%{ends}, at least {limit:g}%")


def _within(what: str, found: Interval, limit: float, unit: str) -> Check:
    """The check of a figure against the most that is allowed, infinite for no limit."""
    ends = (
        ""
        if found.lo == found.hi
        else " without an interval"
        if math.isnan(found.lo)
        else f" [{short(found.lo)}, {short(found.hi)}]"
    )
    allowed = "" if math.isinf(limit) else f", at most {short(limit)} {unit}"
    return Check(what, state(found, limit), f"{short(found.mid)} {unit}{ends}{allowed}")


def state(found: Interval, limit: float) -> str:
    """How an interval stands to the most that is allowed; one of unknown ends is unclear wherever there is a limit."""
    if found.hi <= limit or math.isinf(limit):
        return "kept"
    return "broken" if found.lo > limit else "unclear"
