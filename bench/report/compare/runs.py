"""Comparison of two runs cell by cell, computed from their journals.

Cells are matched by their setting, not by the sources, whose change the comparison measures. The ratio is B over A. The ratio of
latencies has an interval, paired by round if both records are of one session, else for two independent means. The interval of a
ratio of energies is computed from both intervals. FLOPs, parameters and memory are exact. Accuracy is compared in points.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bench.columns import headline
from bench.journal import Journal
from bench.report.compare.comparable import differences, value_settings
from bench.spec import NOT_FAILED, Cell, Pairs, Record
from bench.stats import ratios
from bench.stats.rounds import Interval

COMPARED = ("slower", "worse", "faster", "better", "unclear", "same")
VERDICTS = (*COMPARED, "not comparable", "failed", "only in A", "only in B", "not measured")
REGRESSED, FAILED, NOTHING_COMPARED = 1, 3, 2  # exit statuses
ROUNDING = 1e-5  # relative errors below it depend on the summation order in float32
NOT_TIMES = {"faster": "better", "slower": "worse"}  # verdicts of metrics that are not times


class Row(NamedTuple):
    """A cell of one or both runs. `change` is B over A, for accuracy B minus A in points; NaN if not comparable."""

    cell: Cell
    a: Record | None
    b: Record | None
    change: Interval
    verdict: str
    reason: str = ""


def compare(a: Journal, b: Journal, metric: str, threshold: float) -> list[Row]:
    """Return the rows of two runs.

    Differences within `threshold` (a fraction; for accuracy in hundreds of points) count as none. Raises ValueError if a run has no
    record of the metric.
    """
    index = [_index(journal, metric) for journal in (a, b)]
    for name, journal, records in zip("AB", (a, b), index):
        if not records:
            raise ValueError(f"run {name} ({journal.path}) has no record of {metric}")
    return [_row(record_a, record_b, a, b, threshold) for record_a, record_b in _pairs(*index)]


def _index(journal: Journal, metric: str) -> dict[Cell, dict[Pairs, Record]]:
    """Return the last record of each cell and protocol."""
    index: dict[Cell, dict[Pairs, Record]] = {}
    for record in journal.current():
        if record.job.metric == metric:
            index.setdefault(record.job.cell, {})[value_settings(record.job.protocol)] = record
    return index


def _pairs(
    a: Mapping[Cell, dict[Pairs, Record]], b: Mapping[Cell, dict[Pairs, Record]]
) -> Iterator[tuple[Record | None, Record | None]]:
    """Yield the records of each cell and protocol; if a cell has no protocol in both runs, the last record of each run."""
    for cell in dict.fromkeys([*a, *b]):
        of_a, of_b = a.get(cell, {}), b.get(cell, {})
        if of_a and of_b and not of_a.keys() & of_b.keys():
            yield list(of_a.values())[-1], list(of_b.values())[-1]
        else:
            yield from ((of_a.get(protocol), of_b.get(protocol)) for protocol in dict.fromkeys([*of_a, *of_b]))


def _row(a: Record | None, b: Record | None, run_a: Journal, run_b: Journal, threshold: float) -> Row:
    cell = next(record.job.cell for record in (a, b) if record is not None)
    old, new = value_of(a), value_of(b)
    if a is None or b is None or old is None or new is None:
        return Row(cell, a, b, ratios.UNKNOWN, *_missing_verdict(a, b))
    obstacles = differences(a, b, run_a.envs.get(a.env, {}), run_b.envs.get(b.env, {}))
    if obstacles:
        return Row(cell, a, b, ratios.UNKNOWN, "not comparable", "; ".join(obstacles))
    return Row(cell, a, b, *_change_and_verdict(a, b, old, new, threshold))


def value_of(record: Record | None) -> float | None:
    """Return the value by which a record is compared, or None if it has none."""
    value = record.values.get(headline(record.job.metric).name) if record is not None and record.status == "ok" else None
    return None if value is None else float(value)


def _missing_verdict(a: Record | None, b: Record | None) -> tuple[str, str]:
    """Return verdict and reason if a value is missing: "failed" if a value was lost from A to B or a job failed."""
    lacking = [(name, record) for name, record in (("A", a), ("B", b)) if record is not None and value_of(record) is None]
    reason = "; ".join(f"{name} {record.status}" + (f": {record.detail}" if record.detail else "") for name, record in lacking)
    lost = value_of(a) is not None and b is not None
    if lost or any(record.status == "ok" or record.status not in NOT_FAILED for _, record in lacking):
        return "failed", reason
    if value_of(a) is not None:
        return "only in A", reason
    return ("only in B" if value_of(b) is not None else "not measured"), reason


def _change_and_verdict(a: Record, b: Record, old: float, new: float, threshold: float) -> tuple[Interval, str]:
    """Return the change from A to B and the verdict on it."""
    if a.job.metric == "latency":
        ratio = ratios.ratio(ratios.timing_of(b), ratios.timing_of(a))
        return ratio, ratios.verdict(ratio, threshold, same=1.0)
    if a.job.metric == "accuracy":
        points = new - old
        verdict = "same" if abs(points) <= 100 * threshold else "better" if points > 0 else "worse"
        return Interval(points, points, points), verdict
    if a.job.metric == "properties":
        old, new = max(old, ROUNDING), max(new, ROUNDING)
    ratio = _energy_ratio(b, a) if a.job.metric == "energy" else ratios.exact(new, old)
    verdict = ratios.verdict(ratio, threshold, same=1.0)
    return ratio, NOT_TIMES.get(verdict, verdict)


def _energy_ratio(over: Record, under: Record) -> Interval:
    """Return the ratio of two energies from their intervals; the journal does not store the windows."""

    def interval(values: Mapping[str, Any]) -> Interval:
        ends = (values["energy_lo_j"], values["energy_hi_j"])
        return Interval(values["energy_j"], *(math.nan if end is None else end for end in ends))

    counts = (int(over.values["energy_windows"] or 0), int(under.values["energy_windows"] or 0))
    return ratios.from_intervals(interval(over.values), interval(under.values), counts)


def exit_status(rows: Sequence[Row], gate: bool) -> int:
    """Return the exit status: 3 if a cell failed; with `gate` 2 if no cell was compared, 1 if one is slower or worse; else 0."""
    counts = count(rows)
    if counts["failed"]:
        return FAILED
    if gate and not any(counts[verdict] for verdict in COMPARED):
        return NOTHING_COMPARED
    return REGRESSED if gate and counts["slower"] + counts["worse"] else 0


def count(rows: Sequence[Row]) -> Counter[str]:
    """Count the rows of each verdict."""
    return Counter(row.verdict for row in rows)


def as_data(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the rows as JSON data, with null for missing numbers."""
    return {"verdicts": dict(count(rows)), "cells": [_data(row) for row in rows]}


def _data(row: Row) -> dict[str, Any]:
    return {
        "label": row.cell.label,
        "cell": vars(row.cell),
        "a": value_of(row.a),
        "b": value_of(row.b),
        "status_a": row.a.status if row.a else None,
        "status_b": row.b.status if row.b else None,
        "change": {name: value if math.isfinite(value) else None for name, value in row.change._asdict().items()},
        "verdict": row.verdict,
        "reason": row.reason,
    }
