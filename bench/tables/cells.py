"""Tidy table: one row per cell, computed from the journal. Its columns are defined in `bench/columns.py`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.columns import COLUMNS, METRICS, columns_of
from bench.journal import Journal, no_garbage_collection
from bench.spec import Record
from bench.stats import ranking, ratios
from bench.tables import accuracy, accuracy_csv, crossover, roofline

if TYPE_CHECKING:
    import pandas as pd

SETTING = ("env", "level", "device", "timer", "dtype", "mode", "threads", "batch", "channels", "seed")
AXES = (
    *("method", "label", "level", "network", "height", "width", "channels", "kernel"),
    *("batch", "dtype", "device", "mode", "threads", "seed"),
)
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
Row = dict[str, Any]


def tidy(journal: Journal) -> pd.DataFrame:
    """Return one row per cell: its axes, the columns and the status of every metric, and the comparison within its setting."""
    return to_frame(complete_rows(journal))


def to_frame(complete: Sequence[Row]) -> pd.DataFrame:
    """Return the rows of `complete_rows` as a data frame with the columns of `bench/columns.py`."""
    import pandas as pd

    return pd.DataFrame(complete, columns=NAMES).astype(dict.fromkeys(NUMBERS, "float64"))


def complete_rows(journal: Journal, baseline: str | None = None) -> list[Row]:
    """Return every row with every column, None if it has no value; plus the values of its rounds and of its seeds."""
    with no_garbage_collection():
        return [dict.fromkeys(NAMES) | row for row in rows(journal, baseline)]


def rows(journal: Journal, baseline: str | None = None) -> Iterable[Row]:
    """Return the rows as dictionaries, one per cell, environment and timer.

    A metric that depends on no timer is repeated in every row of its cell. Accuracy is measured in a setting of its own and is
    repeated in every row of its method. `baseline` (a method, or the label of a network) overrides the baseline of the last run.
    """
    timed, untimed, trained = split(journal.current())
    by_key: dict[Any, Row] = {}
    of_cell: dict[Any, list[Row]] = {}
    of_method: dict[Any, list[Row]] = {}

    def row_of(record: Record, timer: str | None) -> Row:
        cell = record.job.cell
        key = (cell, record.env, timer)
        if key not in by_key:
            by_key[key] = _axes(record, timer)
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
            row.update(accuracy.summary(records))
    for setting in settings(by_key.values()):
        compare(setting, baseline or journal.baseline_of(setting[0]["level"]))
        mark_pareto_front(setting)
    for row in by_key.values():
        row.update(roofline.columns(row, journal.envs.get(row["env"], {}).get("ceilings", {})))
    return by_key.values()


def headline_trainings(trained: Sequence[Record], journal: Journal) -> list[Record]:
    """Return the trainings of the one comparison group shown in the tidy table: the first protocol requested by the last run."""
    requested = next((names[0] for run in reversed(journal.runs) if (names := run.get("protocols"))), None)
    groups = [accuracy.comparison_group(record) for record in trained]
    selected = [group for group, record in zip(groups, trained) if accuracy.protocol_of(record) == requested] or groups
    return [record for group, record in zip(groups, trained) if group == selected[0]]


def split(records: Iterable[Record]) -> tuple[list[Record], list[Record], list[Record]]:
    """Split records into latencies, metrics without a timer, and trainings."""
    kinds: tuple[list[Record], list[Record], list[Record]] = ([], [], [])
    for record in records:
        kinds[{"latency": 0, "accuracy": 2}.get(record.job.metric, 1)].append(record)
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


def timing(row: Row) -> dict[str, Any]:
    """Return the input of `ratios.ratio` for a row; rounds of one session and one setting are paired."""
    session = (row["latency_session"], setting_key(row))
    return {name: row[name] for name in ("contended", "threads", "device")} | {"session": session, "rounds": row["rounds_ms"]}


def is_baseline(row: Row, baseline: str) -> bool:
    """Return True if a row belongs to the baseline, which is a method or, at level model, the label of a network."""
    return bool(row["label" if row["level"] == "model" else "method"] == baseline)


def compare(setting: list[Row], baseline: str) -> None:
    """Add the rank to the rows of a setting and, if the baseline is among them, the speedup over it."""
    timings = list(map(timing, setting))
    reference = next((measured for row, measured in zip(setting, timings) if is_baseline(row, baseline)), None)
    ranks = ranking.ranks(timings, lambda measured, leader: ratios.verdict_of(measured, leader) == "slower")
    for row, measured, rank in zip(setting, timings, ranks):
        row["place"] = rank
        if reference is not None:
            speed = ratios.ratio(reference, measured)
            row["speedup"], row["speedup_lo"], row["speedup_hi"] = speed
            row["verdict"] = "baseline" if measured is reference else ratios.verdict_of(measured, reference)
            row["interleaved"] = measured["session"] == reference["session"]


def mark_pareto_front(setting: list[Row]) -> None:
    """Mark the Pareto front of latency and accuracy among the rows of a setting, if at least two have an accuracy.

    Methods whose accuracy is not significantly above the trivial accuracy are never on the front.
    """
    trained = [row for row in setting if row.get("accuracy_status") == "ok"]
    if len(trained) < 2:
        return
    for row in trained:
        row["pareto"] = 0
    trained = list(filter(accuracy.above_trivial, trained))
    for row, optimal in zip(trained, ranking.front([(row["latency_ms"], row["accuracy"]) for row in trained])):
        row["pareto"] = int(optimal)


def _axes(record: Record, timer: str | None) -> Row:
    cell = record.job.cell
    axes = {name: getattr(cell, name) for name in AXES}
    return axes | {"params": json.dumps(dict(cell.params)), "env": record.env, "timer": timer}


def _fill(row: Row, record: Record) -> None:
    metric = record.job.metric
    for name in FILLED[metric]:
        row[name] = record.values.get(name)
    if metric == "latency":
        row["latency_session"], row["rounds_ms"] = record.session, record.rounds
    row[f"{metric}_status"], row[f"{metric}_detail"] = record.status, record.detail


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
