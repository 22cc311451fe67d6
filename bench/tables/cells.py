"""Tidy table: one row per cell, computed from the journal. Its columns are defined in `bench/columns.py`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import axes
from bench.columns import COLUMNS, METRICS, columns_of
from bench.journal import Journal, no_garbage_collection
from bench.spec import LEVELS, Record
from bench.stats import ranking, ratios
from bench.stats.ratios import Timed
from bench.tables import accuracy, accuracy_csv, crossover, roofline
from bench.tables.row import Row
from methods.registry import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

# The columns of a setting except the size of the map: rows that differ only in their method have them in common.
SETTING = ("env", "level", "timer", *(axes.columns([axis for axis in axes.PER_CELL if axis.name != "res"])))
IDENTITY = ("method", "label", "level", "network", *axes.columns())
FILLED = {metric: [name for name in columns_of(metric) if name != "timer"] for metric in METRICS}
DEFAULT_TIMER = {"cpu": "wall"}  # timer of a row without a latency, for devices with only one timer
NAMES = [
    *(column.name for column in COLUMNS),
    "latency_session",
    *(f"{metric}_{what}" for metric in METRICS for what in ("status", "detail")),
]
NUMBERS = [
    "kernel",
    *(column.name for column in COLUMNS if column.better and not column.metric),
    *(column.name for column in COLUMNS if column.metric and column.unit != "name"),
]


def tidy(journal: Journal) -> pd.DataFrame:
    """Return one row per cell: its axes, the columns and the status of every metric, and the comparison within its setting."""
    return to_frame(complete_rows(journal))


def to_frame(complete: Sequence[Row]) -> pd.DataFrame:
    """Return the rows of `complete_rows` as a data frame with the columns of `bench/columns.py`."""
    import pandas as pd

    return pd.DataFrame([row.values for row in complete], columns=NAMES).astype(dict.fromkeys(NUMBERS, "float64"))


def complete_rows(journal: Journal, baseline: str | None = None) -> list[Row]:
    """Return every row with every column, None if it has no value."""
    with no_garbage_collection():
        return [replace(row, values=dict.fromkeys(NAMES) | row.values) for row in rows(journal, baseline)]


def rows(journal: Journal, baseline: str | None = None) -> Iterable[Row]:
    """Return the rows, one per cell, environment and timer.

    A metric that depends on no timer is repeated in every row of its cell. Accuracy is measured in a setting of its own and is
    repeated in every row of its method. `baseline` (a method, or the label of a network) overrides the baseline of the last run.
    """
    timed, untimed, trained = split(journal.current())
    baselines = {level: baseline or journal.baseline_of(level) for level in LEVELS}
    by_key: dict[Any, Row] = {}
    of_cell: dict[Any, list[Row]] = {}
    of_method: dict[Any, list[Row]] = {}

    def row_of(record: Record, timer: str | None) -> Row:
        cell = record.job.cell
        key = (cell, record.env, timer)
        if key not in by_key:
            by_key[key] = _row(record, timer)
            of_cell.setdefault((cell, record.env), []).append(by_key[key])
            of_method.setdefault((accuracy.identity(cell), cell.network, record.env), []).append(by_key[key])
        return by_key[key]

    for record in timed:
        _fill(row_of(record, record.job.protocol.timer), record)  # type: ignore[attr-defined]
    for record in untimed:
        for row in of_cell.get((record.job.cell, record.env)) or [row_of(record, DEFAULT_TIMER.get(record.job.cell.device))]:
            _fill(row, record)
    for records in accuracy.by_method(headline_trainings(trained, journal)).values():
        cell, env = records[0].job.cell, records[0].env
        same = of_method.get((accuracy.identity(cell), cell.network, env)) or of_method.get((accuracy.identity(cell), "", env))
        for row in same or [row_of(records[0], None)]:
            row.values.update(accuracy.summary(records))
            row.accuracies = tuple(accuracy.accuracies(records)) if row["accuracy_status"] == "ok" else ()
    for setting in settings(by_key.values()):
        compare(setting, baselines[setting[0]["level"]])
        mark_pareto_front(setting)
    for row in by_key.values():
        row.values.update(roofline.columns(row.values, journal.ceilings(row["env"], row["device"], row["threads"])))
    return by_key.values()


def headline_trainings(trained: Sequence[Record], journal: Journal) -> list[Record]:
    """Return the trainings of the one comparison group shown in the tidy table: the first protocol requested by the last run."""
    requested = next((names[0] for run in reversed(journal.runs) if (names := run.get("protocols"))), None)
    groups = [accuracy.comparison_group(record) for record in trained]
    selected = [group for group, record in zip(groups, trained) if accuracy.protocol_of(record) == requested] or groups
    return [record for group, record in zip(groups, trained) if group == selected[0]]


def split(records: Iterable[Record]) -> tuple[list[Record], list[Record], list[Record]]:
    """Split records into latencies, metrics without a timer, and trainings. Reports records of unknown metrics on stderr."""
    kinds: tuple[list[Record], list[Record], list[Record]] = ([], [], [])
    unknown: set[str] = set()
    for record in records:
        if record.job.metric in METRICS:
            kinds[{"latency": 0, "accuracy": 2}.get(record.job.metric, 1)].append(record)
        else:  # its file was removed
            unknown.add(record.job.metric)
    if unknown:
        print(f"not shown: records of {', '.join(sorted(unknown))}, which bench/metrics does not have", file=sys.stderr)
    return kinds


def settings(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield the rows with a latency of each setting (rows that differ only in their method), the fastest first."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        if row.get("latency_status") == "ok":
            groups.setdefault(setting_key(row), []).append(row)
    return (sorted(group, key=lambda row: row["latency_ms"]) for group in groups.values())


def setting_key(row: Row) -> tuple[Any, ...]:
    """Return the setting of a row; only rounds of rows of one setting may be interleaved."""
    return tuple(row[name] for name in (*SETTING, "height", "width"))


def is_baseline(row: Row, baseline: str) -> bool:
    """Return True if a row belongs to the baseline, which is a method or, at level model, the label of a network."""
    return bool(row["label" if row["level"] == "model" else "method"] == baseline)


def check_baseline(baseline: str, runs: Sequence[Sequence[Row]]) -> None:
    """Raise ValueError if no run has measured the baseline."""
    rows = [row for run in runs for row in run]
    if not any(is_baseline(row, baseline) for row in rows):
        known = dict.fromkeys(row["label" if row["level"] == "model" else "method"] for row in rows)
        raise ValueError(f"--baseline {baseline}: no run has measured it{did_you_mean(baseline, known)}")


def compare(setting: list[Row], baseline: str) -> None:
    """Add the rank to the rows of a setting and, if the baseline is among them, the speedup over it."""
    reference = next((row for row in setting if is_baseline(row, baseline)), None)
    ranks = ranking.ranks([row.latency() for row in setting], ratios.slower)
    for row, rank in zip(setting, ranks):
        row.values["place"] = rank
        if reference is not None:
            speed = ratios.ratio(reference.latency(), row.latency())
            row.values |= dict(zip(("speedup", "speedup_lo", "speedup_hi"), speed))
            row.values["verdict"] = "baseline" if row is reference else ratios.verdict_of(row.latency(), reference.latency())
            row.interleaved = row.latency().session == reference.latency().session


def mark_pareto_front(setting: list[Row]) -> None:
    """Mark the Pareto front of latency and accuracy among the rows of a setting, if at least two have an accuracy.

    Methods whose accuracy is not significantly above the trivial accuracy are never on the front.
    """
    trained = [row for row in setting if row.get("accuracy_status") == "ok"]
    if len(trained) < 2:
        return
    for row in trained:
        row.values["pareto"] = 0
    trained = [row for row in trained if accuracy.above_trivial(row.values)]
    for row, optimal in zip(trained, ranking.front([(row["latency_ms"], row["accuracy"]) for row in trained])):
        row.values["pareto"] = int(optimal)


def _row(record: Record, timer: str | None) -> Row:
    """Return the row of a record with its axes alone."""
    cell = record.job.cell
    values = {name: getattr(cell, name) for name in IDENTITY}
    return Row(values | {"params": json.dumps(dict(cell.params)), "env": record.env, "timer": timer}, cell.series)


def _fill(row: Row, record: Record) -> None:
    """Add the columns of the metric of a record."""
    metric = record.job.metric
    for name in FILLED[metric]:
        row.values[name] = record.values.get(name)
    if metric == "latency":
        row.values["latency_session"] = record.session
        if record.status == "ok":
            row.timed = replace(Timed.of(record), session=(record.session, setting_key(row)))
    row.values[f"{metric}_status"], row.values[f"{metric}_detail"] = record.status, record.detail


def write_tables(journal: Journal, table: pd.DataFrame | None = None) -> list[Path]:
    """Write table.csv, accuracy.csv and crossover.csv (if there is data) and table.parquet (if pyarrow is installed).

    The files are written next to the journal. `table` is its tidy table, computed if None. Returns the paths.
    """
    table = tidy(journal) if table is None else table
    paths = [journal.path.with_name("table.csv"), *accuracy_csv.write(journal), *crossover.write(journal)]
    table.to_csv(paths[0], index=False)
    try:
        import pyarrow  # noqa: F401  # installed by the extra `parquet`
    except ModuleNotFoundError:
        return paths
    paths.append(journal.path.with_name("table.parquet"))
    table.to_parquet(paths[-1], index=False)
    return paths
