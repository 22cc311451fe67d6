"""Accuracies of several seeds as one figure: a pure function of records. The unit of replication is the seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from bench import nets
from bench.journal import Journal
from bench.spec import Cell, Record, Training, protocol_name
from bench.stats.ranking import ranks
from bench.stats.ratios import difference
from bench.stats.rounds import Interval, t95

Values = dict[str, Any]


def trained(journal: Journal) -> list[Record]:
    """Every training of the sources as they were last."""
    return [record for record in journal.current() if record.job.metric == "accuracy"]


def training(record: Record) -> Training:
    """The settings of a record of metric accuracy."""
    assert isinstance(record.job.protocol, Training)
    return record.job.protocol


def protocol_of(record: Record) -> str:
    """Name of the protocol; see `spec.protocol_name`."""
    return protocol_name(record.job.cell, training(record))


def host(cell: Cell) -> str | None:
    """The network around every method of a contest, empty where older versions left it out; None where it is what is compared."""
    return cell.network if not cell.network or nets.is_host(cell.network) else None


def comparison_group(record: Record) -> str:
    """Name of what may be ranked together: that of the protocol, of which a network is a part only where it is a host."""
    cell = record.job.cell
    return protocol_name(replace(cell, network="any network") if host(cell) is None else cell, training(record))


def label(cell: Cell) -> str:
    """The method as the tables of one contest name it: with its network only where that is compared."""
    return cell.label if host(cell) is None else replace(cell, network="").label


def identity(cell: Cell) -> tuple[Any, ...]:
    """What a learned accuracy is of, whichever the seed: the method as it stands in the rows of its other metrics."""
    return cell.method, cell.params, cell.kernel, cell.device, cell.threads


def by_method(records: Iterable[Record]) -> dict[tuple[Any, ...], list[Record]]:
    """Records of the same method, machine, network and protocol, which differ in their seed."""
    found: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        found.setdefault((identity(record.job.cell), record.env, protocol_of(record)), []).append(record)
    return found


def place(record: Record) -> tuple[Any, ...]:
    """What the rows of one table of accuracies have in common: the contest and the machine."""
    return comparison_group(record), record.env, record.job.cell.device, record.job.cell.threads


def method(record: Record) -> Cell:
    """What is compared in a table of accuracies: the cell, whichever the seed."""
    return replace(record.job.cell, seed=0)


def contests(records: Iterable[Record]) -> list[dict[Cell, list[Record]]]:
    """Records by what may be ranked together, there by method."""
    found: dict[Any, dict[Cell, list[Record]]] = {}
    for record in records:
        found.setdefault(place(record), {}).setdefault(method(record), []).append(record)
    return list(found.values())


def interval(values: Sequence[float]) -> Interval:
    """Mean of percentages and its 95% t-interval, which may reach below 0 and above 100; ends NaN with one value."""
    mid = statistics.fmean(values)
    if len(values) < 2:
        return Interval(mid, float("nan"), float("nan"))
    half = t95(len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return Interval(mid, mid - half, mid + half)


def clears(mid: float, lo: float, floor: float, images: float | None) -> bool:
    """Whether a mean accuracy is above a floor by more than seeds and the choice of `images` test images explain, at 95%.

    All seeds share the test images, so their spread does not hold the error of these; with one seed nothing is known of it.
    """
    choice = 1.96 * math.sqrt(floor * (100 - floor) / images) if images else 0.0
    return mid - math.hypot(mid - lo, choice) > floor


def above_trivial(values: Values) -> bool:
    """Whether the accuracy of a method clears its floor; of an older version, which kept no floor, it is taken to."""
    floor, images = values.get("accuracy_floor"), values.get("accuracy_images")
    if floor is None or math.isnan(floor):
        return True
    known = None if images is None or math.isnan(images) else images
    return clears(values["accuracy"], values["accuracy_lo"], floor, known)


def evaluations(record: Record) -> Iterator[tuple[int, str, float | str]]:
    """Every evaluation at another resolution than the training's: resolution, way, and percent or the reason for none."""
    for key, found in record.evals.items():
        res, _, way = key.partition(" ")
        if int(res) != training(record).res:
            yield int(res), way, found


def accuracies(records: Iterable[Record]) -> list[float]:
    """Percent on the test part, one a seed; of records that are ok."""
    return [float(record.values["accuracy"]) for record in records]  # type: ignore[arg-type]  # a number where it is ok


def failure(records: Sequence[Record]) -> Record | None:
    """The first seed that failed: a mean over the others would hide it."""
    return next((record for record in records if record.status != "ok"), None)


def reason(record: Record, of: Sequence[Record]) -> str:
    """Why a seed failed, and which one where there are several."""
    why = record.detail or "no reason given"
    return f"seed {record.job.cell.seed}: {why}" if len(of) > 1 else why


def places(groups: Sequence[Sequence[Record]]) -> list[int]:
    """Places of methods that are sorted by accuracy, the best first; shared where Welch's test does not tell two apart."""
    return ranks([accuracies(group) for group in groups], lambda one, leader: difference(leader, one).lo > 0)


def summary(records: Sequence[Record]) -> Values:
    """The columns of metric accuracy from the records of one method's seeds; status and reason of the first that failed."""
    failed = failure(records)
    if failed is not None:
        named = {"accuracy_protocol": protocol_of(failed)}
        return {"accuracy_status": failed.status, "accuracy_detail": reason(failed, records), **named}
    mid, lo, hi = interval(accuracies(records))
    return {
        **_typical(records),
        "accuracies": accuracies(records),
        "accuracy": mid,
        "accuracy_lo": max(lo, 0.0),
        "accuracy_hi": min(hi, 100.0),
        "accuracy_half": (hi - lo) / 2,
        "accuracy_seeds": len(records),
        "accuracy_protocol": protocol_of(records[0]),
        "accuracy_status": "ok",
        "accuracy_detail": "",
    }


def _typical(records: Sequence[Record]) -> Values:
    """Medians of the other figures, what all seeds have in common, and the commonest learning rate."""
    found: Values = {}
    for name in records[0].values:
        values = [record.values.get(name) for record in records]
        numbers = [value for value in values if isinstance(value, int | float)]
        found[name] = statistics.median(numbers) if len(numbers) == len(values) else values[0]
    found.pop("accuracy_seed", None)
    found["accuracy_lr"] = statistics.mode(record.values.get("accuracy_lr") for record in records)
    return found
