"""Mean accuracy over seeds, computed from records. The unit of replication is the seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from bench import nets
from bench.journal import Journal
from bench.spec import Cell, Evaluation, Record, Training, protocol_name
from bench.stats import ranking
from bench.stats.ratios import difference
from bench.stats.rounds import Interval, t95

Values = dict[str, Any]


def training_records(journal: Journal) -> list[Record]:
    """Return the training records of the journal that belong to the latest sources."""
    return [record for record in journal.current() if record.job.metric == "accuracy"]


def training(record: Record) -> Training:
    """Return the training settings of a record of metric accuracy."""
    assert isinstance(record.job.protocol, Training)
    return record.job.protocol


def protocol_of(record: Record) -> str:
    """Return the name of the protocol; see `spec.protocol_name`."""
    protocol = training(record)
    return protocol_name(record.job.cell, protocol)


def host(cell: Cell) -> str | None:
    """Return the network that hosts the operators of a comparison group, or None if networks themselves are compared.

    Empty if the record was written by an older version, which did not store it.
    """
    return cell.network if not cell.network or nets.kind_of(cell.network) == "host" else None


def comparison_group(record: Record) -> str:
    """Return the name of the comparison group: the protocol, which includes the network only if it is a host."""
    cell = record.job.cell
    return protocol_name(replace(cell, network="any network") if host(cell) is None else cell, training(record))


def label(cell: Cell) -> str:
    """Return the name of a method within a comparison group: with its network only if networks are compared."""
    return cell.label if host(cell) is None else cell.operator


def identity(cell: Cell) -> tuple[Any, ...]:
    """Return the key of a method that its trainings and its rows of other metrics have in common; it excludes the seed."""
    return cell.method, cell.params, cell.kernel, cell.device, cell.threads


def by_method(records: Iterable[Record]) -> dict[tuple[Any, ...], list[Record]]:
    """Group records that differ only in their seed: same method, machine, network and protocol."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        groups.setdefault((identity(record.job.cell), record.env, protocol_of(record)), []).append(record)
    return groups


def group_key(record: Record) -> tuple[Any, ...]:
    """Return what the rows of one accuracy table have in common: comparison group and machine."""
    return comparison_group(record), record.env, record.job.cell.device, record.job.cell.threads


def without_seed(record: Record) -> Cell:
    """Return the cell of a record with seed 0, the unit compared in an accuracy table."""
    return replace(record.job.cell, seed=0)


def comparison_groups(records: Iterable[Record]) -> list[dict[Cell, list[Record]]]:
    """Group records by what may be ranked together and, within a group, by method."""
    groups: dict[Any, dict[Cell, list[Record]]] = {}
    for record in records:
        groups.setdefault(group_key(record), {}).setdefault(without_seed(record), []).append(record)
    return list(groups.values())


def interval(values: Sequence[float]) -> Interval:
    """Return the mean of percentages and its 95% t-interval.

    The interval is not clipped to [0, 100]. Its ends are NaN with one value.
    """
    mid = statistics.fmean(values)
    if len(values) < 2:
        return Interval(mid, float("nan"), float("nan"))
    half = t95(len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return Interval(mid, mid - half, mid + half)


def significantly_above(mid: float, lo: float, trivial: float, images: float | None) -> bool:
    """Return True if a mean accuracy is significantly above the trivial accuracy, at 95%.

    The error over seeds (`mid - lo`) and the sampling error of `images` test images are added in quadrature: all seeds share the
    test images, so the variance over seeds does not contain the latter. False with one seed, whose `lo` is NaN.
    """
    sampling = 1.96 * math.sqrt(trivial * (100 - trivial) / images) if images else 0.0
    return mid - math.hypot(mid - lo, sampling) > trivial


def above_trivial(values: Values) -> bool:
    """Return True if the accuracy of a row is significantly above its trivial accuracy.

    Also True for records of older versions, which did not store a trivial accuracy.
    """
    trivial, images = values.get("accuracy_floor"), values.get("accuracy_images")
    if trivial is None or math.isnan(trivial):
        return True
    known = None if images is None or math.isnan(images) else images
    return significantly_above(values["accuracy"], values["accuracy_lo"], trivial, known)


def evaluations(record: Record) -> list[Evaluation]:
    """Return the evaluations at other resolutions than the training resolution."""
    return [evaluation for evaluation in record.evals if evaluation.res != training(record).res]


def accuracies(records: Iterable[Record]) -> list[float]:
    """Return the test accuracy in percent of each seed; all records must have status ok."""
    return [float(record.values["accuracy"]) for record in records]  # type: ignore[arg-type]  # a number if status is ok


def failure(records: Sequence[Record]) -> Record | None:
    """Return the record of the first seed that failed, or None; a mean over the other seeds would hide it."""
    return next((record for record in records if record.status != "ok"), None)


def reason(record: Record, seeds: Sequence[Record]) -> str:
    """Return why a seed failed, preceded by its number if there are several seeds."""
    detail = record.detail or "no reason given"
    return f"seed {record.job.cell.seed}: {detail}" if len(seeds) > 1 else detail


def ranks(groups: Sequence[Sequence[Record]]) -> list[int]:
    """Return the ranks of methods sorted by falling accuracy.

    A method has the rank of a leader if Welch's test over seeds finds no significant difference between the two.
    """
    return ranking.ranks([accuracies(group) for group in groups], lambda values, leader: difference(leader, values).lo > 0)


def summary(records: Sequence[Record]) -> Values:
    """Return the columns of metric accuracy from the records of the seeds of one method.

    If a seed failed, only its status, reason and protocol are returned.
    """
    failed = failure(records)
    if failed is not None:
        return {
            "accuracy_status": failed.status,
            "accuracy_detail": reason(failed, records),
            "accuracy_protocol": protocol_of(failed),
        }
    values = accuracies(records)
    mid, lo, hi = interval(values)
    return {
        **_medians(records),
        "accuracy": mid,
        "accuracy_lo": max(lo, 0.0),
        "accuracy_hi": min(hi, 100.0),
        "accuracy_half": (hi - lo) / 2,
        "accuracy_seeds": len(records),
        "accuracy_protocol": protocol_of(records[0]),
        "accuracy_status": "ok",
        "accuracy_detail": "",
    }


def _medians(records: Sequence[Record]) -> Values:
    """Return medians of the other numbers, values common to all seeds, and the most frequent learning rate."""
    medians: Values = {}
    for name in records[0].values:
        values = [record.values.get(name) for record in records]
        numbers = [value for value in values if isinstance(value, int | float)]
        medians[name] = statistics.median(numbers) if len(numbers) == len(values) else values[0]
    medians.pop("accuracy_seed", None)
    medians["accuracy_lr"] = statistics.mode(record.values.get("accuracy_lr") for record in records)
    return medians
