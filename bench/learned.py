"""Accuracies of several seeds as one figure: a pure function of records. The unit of replication is the seed."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from bench.spec import Cell, Record, Training, protocol_name
from bench.stats import Interval, t95

Values = dict[str, Any]


def protocol_of(record: Record) -> str:
    """Accuracies of one name may be ranked together; see `spec.protocol_name`."""
    assert isinstance(record.job.protocol, Training)
    return protocol_name(record.job.cell, record.job.protocol)


def identity(cell: Cell) -> tuple[Any, ...]:
    """What a learned accuracy is of, whichever the seed: the method as it stands in the rows of its other metrics."""
    return cell.method, cell.params, cell.kernel, cell.device, cell.threads


def by_method(records: Iterable[Record]) -> dict[tuple[Any, ...], list[Record]]:
    """Records of the same method, machine, network and protocol, which differ in their seed."""
    found: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        found.setdefault((identity(record.job.cell), record.env, protocol_of(record)), []).append(record)
    return found


def interval(values: Sequence[float]) -> Interval:
    """Mean of percentages and its 95% t-interval, cut to 0 and 100; ends NaN with one value."""
    mid = statistics.fmean(values)
    if len(values) < 2:
        return Interval(mid, float("nan"), float("nan"))
    half = t95(len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return Interval(mid, max(mid - half, 0.0), min(mid + half, 100.0))


def summary(records: Sequence[Record]) -> Values:
    """The columns of metric accuracy from the records of one method's seeds; status and reason of the first that failed."""
    failed = next((record for record in records if record.status != "ok"), None)
    if failed is not None:
        return {"accuracy_status": failed.status, "accuracy_detail": failed.detail, "accuracy_protocol": protocol_of(failed)}
    mid, lo, hi = interval([float(record.values["accuracy"] or 0.0) for record in records])
    return {
        **_typical(records),
        "accuracy": mid,
        "accuracy_lo": lo,
        "accuracy_hi": hi,
        "accuracy_seeds": len(records),
        "accuracy_protocol": protocol_of(records[0]),
        "accuracy_status": "ok",
        "accuracy_detail": "",
    }


def _typical(records: Sequence[Record]) -> Values:
    """Medians of the other figures, and what all seeds have in common."""
    found: Values = {}
    for name in records[0].values:
        values = [record.values.get(name) for record in records]
        numbers = [value for value in values if isinstance(value, int | float)]
        found[name] = statistics.median(numbers) if len(numbers) == len(values) else values[0]
    found.pop("accuracy_seed", None)
    return found
