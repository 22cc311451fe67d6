"""Comparison of two runs cell by cell, computed from their journals.

Cells are matched by their setting, not by the sources, whose change the comparison measures. The ratio is B over A. The ratio of
latencies has an interval, paired by round if both records are of one session, else for two independent means. The interval of a
ratio of energies is computed from both intervals. FLOPs, parameters and memory are exact. Accuracy is compared in points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bench.columns import METRICS, headline
from bench.journal import Journal
from bench.report.compare.comparable import differences, value_settings
from bench.spec import NOT_FAILED, Cell, Pairs, Record
from bench.stats import ratios
from bench.stats.rounds import Interval

COMPARED = ("slower", "worse", "faster", "better", "unclear", "same")
VERDICTS = (*COMPARED, "not comparable", "failed", "only in A", "only in B", "not measured")
VALUE_VERDICTS = {  # better direction -> verdict on a ratio of times -> verdict on a value that is not a time
    "lower": {"faster": "better", "slower": "worse"},
    "higher": {"faster": "worse", "slower": "better"},
}


class Row(NamedTuple):
    """A cell of one or both runs. `change` is B over A, for accuracy B minus A in points; NaN if not comparable."""

    cell: Cell
    a: Record | None
    b: Record | None
    change: Interval
    verdict: str
    reason: str = ""


def index(journal: Journal, metric: str) -> dict[Cell, dict[Pairs, Record]]:
    """Return the last record of each cell and protocol."""
    index: dict[Cell, dict[Pairs, Record]] = {}
    for record in journal.current():
        if record.job.metric == metric:
            index.setdefault(record.job.cell, {})[value_settings(record.job.protocol)] = record
    return index


def pairs(
    a: Mapping[Cell, dict[Pairs, Record]], b: Mapping[Cell, dict[Pairs, Record]]
) -> Iterator[tuple[Record | None, Record | None]]:
    """Yield the records of each cell and protocol; if a cell has no protocol in both runs, the last record of each run."""
    for cell in dict.fromkeys([*a, *b]):
        of_a, of_b = a.get(cell, {}), b.get(cell, {})
        if of_a and of_b and not of_a.keys() & of_b.keys():
            yield list(of_a.values())[-1], list(of_b.values())[-1]
        else:
            yield from ((of_a.get(protocol), of_b.get(protocol)) for protocol in dict.fromkeys([*of_a, *of_b]))


def row_of(a: Record | None, b: Record | None, runs: tuple[Journal, Journal], threshold: float) -> Row:
    cell = next(record.job.cell for record in (a, b) if record is not None)
    old, new = value_of(a), value_of(b)
    if a is None or b is None or old is None or new is None:
        return Row(cell, a, b, ratios.UNKNOWN, *_missing_verdict(a, b))
    obstacles = differences(a, b, runs[0].envs.get(a.env, {}), runs[1].envs.get(b.env, {}))
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
    metric = METRICS[a.job.metric]
    if metric.change == "points":
        change = Interval(new - old, new - old, new - old)
        verdict = "same" if abs(change.mid) <= 100 * threshold else "faster" if change.mid < 0 else "slower"
    else:
        change = _ratio(a, b, max(old, metric.rounding), max(new, metric.rounding))
        verdict = ratios.verdict(change, threshold, same=1.0)
    return change, VALUE_VERDICTS[metric.headline.better].get(verdict, verdict) if metric.change != "rounds" else verdict


def _ratio(a: Record, b: Record, old: float, new: float) -> Interval:
    """Return the ratio of the values of B and A, with the interval that their metric has."""
    metric = METRICS[a.job.metric]
    if metric.change == "rounds":
        return ratios.ratio(ratios.Timed.of(b), ratios.Timed.of(a))
    if metric.change == "interval":
        return _ratio_of_intervals(b, a)
    return ratios.exact(new, old)


def _ratio_of_intervals(over: Record, under: Record) -> Interval:
    """Return the ratio of two values from their intervals; the journal does not store the observations."""
    metric = METRICS[over.job.metric]

    def interval(values: Mapping[str, Any]) -> Interval:
        ends = (values[name] for name in metric.headline.interval)
        return Interval(values[metric.headline.name], *(math.nan if end is None else end for end in ends))

    counts = (int(over.values[metric.observations] or 0), int(under.values[metric.observations] or 0))
    return ratios.from_intervals(interval(over.values), interval(under.values), counts)
