"""Two runs cell by cell: a pure function of their journals.

Cells are matched by all that is measured, whatever the sources: that is what a comparison is about. The ratio is B over A. That of
latencies has an interval: paired by round where both records are of one session, else of two independent means. That of energies
comes from the intervals of both. FLOPs, parameters and memory are exact. Accuracy is compared in points.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bench.columns import headline
from bench.journal import Journal
from bench.report.compare.comparable import bearing, differences
from bench.spec import NOT_FAILED, Cell, Pairs, Record
from bench.stats import ratios as comparison
from bench.stats.rounds import Interval

COMPARED = ("slower", "worse", "faster", "better", "unclear", "same")
VERDICTS = (*COMPARED, "not comparable", "failed", "only in A", "only in B", "not measured")
REGRESSED, FAILED, NOTHING = 1, 3, 2  # exit statuses
ROUNDING = 1e-5  # below it relative errors differ by the order of a sum, in float32
OTHER_WORDS = {"faster": "better", "slower": "worse"}  # of what is no time


class Row(NamedTuple):
    """One cell in both runs, or in one. `change` is B over A, for accuracy B less A in points; NaN where they are not compared."""

    cell: Cell
    a: Record | None
    b: Record | None
    change: Interval
    verdict: str
    reason: str = ""


def compare(a: Journal, b: Journal, metric: str, threshold: float) -> list[Row]:
    """The rows of two runs; `threshold` is the share (for accuracy: hundreds of points) within which a difference is none.

    Raises ValueError where a run has no record of the metric.
    """
    index = [_index(journal, metric) for journal in (a, b)]
    for name, journal, found in zip("AB", (a, b), index):
        if not found:
            raise ValueError(f"run {name} ({journal.path}) has no record of {metric}")
    return [_row(one, other, a, b, threshold) for one, other in _pairs(*index)]


def _index(journal: Journal, metric: str) -> dict[Cell, dict[Pairs, Record]]:
    """The last record of each cell under each protocol."""
    found: dict[Cell, dict[Pairs, Record]] = {}
    for record in journal.current():
        if record.job.metric == metric:
            found.setdefault(record.job.cell, {})[bearing(record.job.protocol)] = record
    return found


def _pairs(
    a: Mapping[Cell, dict[Pairs, Record]], b: Mapping[Cell, dict[Pairs, Record]]
) -> Iterator[tuple[Record | None, Record | None]]:
    """Records of one cell and protocol; where a cell has no protocol in common, the last of each."""
    for cell in dict.fromkeys([*a, *b]):
        ours, theirs = a.get(cell, {}), b.get(cell, {})
        if ours and theirs and not ours.keys() & theirs.keys():
            yield list(ours.values())[-1], list(theirs.values())[-1]
        else:
            yield from ((ours.get(one), theirs.get(one)) for one in dict.fromkeys([*ours, *theirs]))


def _row(a: Record | None, b: Record | None, run_a: Journal, run_b: Journal, threshold: float) -> Row:
    cell = next(record.job.cell for record in (a, b) if record is not None)
    old, new = figure(a), figure(b)
    if a is None or b is None or old is None or new is None:
        return Row(cell, a, b, comparison.UNKNOWN, *_unmeasured(a, b))
    apart = differences(a, b, run_a.envs.get(a.env, {}), run_b.envs.get(b.env, {}))
    if apart:
        return Row(cell, a, b, comparison.UNKNOWN, "not comparable", "; ".join(apart))
    return Row(cell, a, b, *_judged(a, b, old, new, threshold))


def figure(record: Record | None) -> float | None:
    """The value that a record is compared by; None where it has none."""
    value = record.values.get(headline(record.job.metric).name) if record is not None and record.status == "ok" else None
    return None if value is None else float(value)


def _unmeasured(a: Record | None, b: Record | None) -> tuple[str, str]:
    """Verdict and reason where a figure is missing: a failure, unless nothing was lost from A to B but what was not asked for."""
    lacking = [(name, one) for name, one in (("A", a), ("B", b)) if one is not None and figure(one) is None]
    reason = "; ".join(f"{name} {one.status}" + (f": {one.detail}" if one.detail else "") for name, one in lacking)
    lost = figure(a) is not None and b is not None
    if lost or any(one.status == "ok" or one.status not in NOT_FAILED for _, one in lacking):
        return "failed", reason
    if figure(a) is not None:
        return "only in A", reason
    return ("only in B" if figure(b) is not None else "not measured"), reason


def _judged(a: Record, b: Record, old: float, new: float, threshold: float) -> tuple[Interval, str]:
    """The change from A to B and what it is called."""
    if a.job.metric == "latency":
        ratio = comparison.ratio(comparison.timing_of(b), comparison.timing_of(a))
        return ratio, comparison.verdict(ratio, threshold, same=1.0)
    if a.job.metric == "accuracy":
        points = new - old
        word = "same" if abs(points) <= 100 * threshold else "better" if points > 0 else "worse"
        return Interval(points, points, points), word
    if a.job.metric == "properties":
        old, new = max(old, ROUNDING), max(new, ROUNDING)
    ratio = _energies(b, a) if a.job.metric == "energy" else comparison.exact(new, old)
    word = comparison.verdict(ratio, threshold, same=1.0)
    return ratio, OTHER_WORDS.get(word, word)


def _energies(over: Record, under: Record) -> Interval:
    """The ratio of two energies from their intervals: the windows are not kept."""

    def interval(values: Mapping[str, Any]) -> Interval:
        ends = (values["energy_lo_j"], values["energy_hi_j"])
        return Interval(values["energy_j"], *(math.nan if end is None else end for end in ends))

    counts = (int(over.values["energy_windows"] or 0), int(under.values["energy_windows"] or 0))
    return comparison.from_intervals(interval(over.values), interval(under.values), counts)


def exit_status(rows: Sequence[Row], gate: bool) -> int:
    """0, or 3 where a cell failed; as a gate also 2 where no cell could be compared and 1 where one is slower or worse."""
    seen = count(rows)
    if seen["failed"]:
        return FAILED
    if gate and not any(seen[word] for word in COMPARED):
        return NOTHING
    return REGRESSED if gate and seen["slower"] + seen["worse"] else 0


def count(rows: Sequence[Row]) -> Counter[str]:
    return Counter(row.verdict for row in rows)


def as_data(rows: Sequence[Row]) -> dict[str, Any]:
    """The rows for programs: JSON-able, null where there is no number."""
    return {"verdicts": dict(count(rows)), "cells": [_data(row) for row in rows]}


def _data(row: Row) -> dict[str, Any]:
    return {
        "label": row.cell.label,
        "cell": vars(row.cell),
        "a": figure(row.a),
        "b": figure(row.b),
        "status_a": row.a.status if row.a else None,
        "status_b": row.b.status if row.b else None,
        "change": {name: value if math.isfinite(value) else None for name, value in row.change._asdict().items()},
        "verdict": row.verdict,
        "reason": row.reason,
    }
