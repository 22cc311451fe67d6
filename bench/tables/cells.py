"""The tidy table: one row a cell, a pure function of the journal. Its columns are those of `columns.py`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.columns import COLUMNS, METRICS, of
from bench.journal import Journal, no_collections
from bench.spec import Record
from bench.stats import ranking
from bench.stats import ratios as comparison
from bench.tables import accuracy as learned
from bench.tables import accuracy_csv as trainings
from bench.tables import crossover, roofline

if TYPE_CHECKING:
    import pandas as pd

SETTING = ("env", "level", "device", "timer", "dtype", "mode", "threads", "batch", "channels", "seed")
AXES = (
    *("method", "label", "level", "network", "height", "width", "channels", "kernel"),
    *("batch", "dtype", "device", "mode", "threads", "seed"),
)
FILLED = {metric: [name for name in of(metric) if name != "timer"] for metric in METRICS}
UNTIMED = {"cpu": "wall"}  # the timer of a row without a latency, where there is but one
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
    """One row a cell: its axes, every metric's columns, each metric's status, and how its latency compares in its setting."""
    return to_frame(complete_rows(journal))


def to_frame(found: Sequence[Row]) -> pd.DataFrame:
    """The columns of `columns.py` of such rows as a table."""
    import pandas as pd

    return pd.DataFrame(found, columns=NAMES).astype(dict.fromkeys(NUMBERS, "float64"))


def complete_rows(journal: Journal, baseline: str | None = None) -> list[Row]:
    """Every row with every column, None where it has no value; beside them the figures of its rounds and of its seeds."""
    with no_collections():
        return [dict.fromkeys(NAMES) | row for row in rows(journal, baseline)]


def rows(journal: Journal, baseline: str | None = None) -> Iterable[Row]:
    """The rows as dictionaries: one a cell, environment and timer, so that no row joins figures of two machines or two clocks.

    What no timer reads stands in every row of its cell; accuracy, from a setting of its own, beside every cell of its method.
    They are compared with `baseline`, a method or the label of a network, in place of what the journal's last run named.
    """
    timed, counted, trained = split(journal.current())
    found: dict[Any, Row] = {}
    of_cell: dict[Any, list[Row]] = {}
    of_method: dict[Any, list[Row]] = {}

    def row_of(record: Record, timer: str | None) -> Row:
        cell = record.job.cell
        key = (cell, record.env, timer)
        if key not in found:
            found[key] = _axes(record, timer)
            of_cell.setdefault((cell, record.env), []).append(found[key])
            of_method.setdefault((learned.identity(cell), cell.network, record.env), []).append(found[key])
        return found[key]

    for record in timed:
        _fill(row_of(record, record.job.protocol.timer), record)  # type: ignore[attr-defined]
    for record in counted:
        for row in of_cell.get((record.job.cell, record.env)) or [row_of(record, UNTIMED.get(record.job.cell.device))]:
            _fill(row, record)
    for records in learned.by_method(headline(trained, journal)).values():
        cell, env = records[0].job.cell, records[0].env
        same = of_method.get((learned.identity(cell), cell.network, env)) or of_method.get((learned.identity(cell), "", env))
        for row in same or [row_of(records[0], None)]:
            row.update(learned.summary(records))
    for setting in settings(found.values()):
        compare(setting, baseline or journal.baseline_of(setting[0]["level"]))
        mark_front(setting)
    for row in found.values():
        row.update(roofline.columns(row, journal.envs.get(row["env"], {}).get("ceilings", {})))
    return found.values()


def headline(trained: Sequence[Record], journal: Journal) -> list[Record]:
    """The accuracies of the one contest that stands beside the other metrics: the first that the last run asked for."""
    asked = next((names[0] for run in reversed(journal.runs) if (names := run.get("protocols"))), None)
    contests = [learned.comparison_group(record) for record in trained]
    wanted = [of for of, record in zip(contests, trained) if learned.protocol_of(record) == asked] or contests
    return [record for of, record in zip(contests, trained) if of == wanted[0]]


def split(records: Iterable[Record]) -> tuple[list[Record], list[Record], list[Record]]:
    """Records of latencies, of trainings, and of the other metrics."""
    kinds: tuple[list[Record], list[Record], list[Record]] = ([], [], [])
    for record in records:
        kinds[{"latency": 0, "accuracy": 2}.get(record.job.metric, 1)].append(record)
    return kinds


def settings(found: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows that differ only in their method, with a latency, the fastest first."""
    groups: dict[Any, list[Row]] = {}
    for row in found:
        if row.get("latency_status") == "ok":
            groups.setdefault(setting_of(row), []).append(row)
    return (sorted(group, key=lambda row: row["latency_ms"]) for group in groups.values())


def setting_of(row: Row) -> tuple[Any, ...]:
    """What a row shares with those whose rounds may be interleaved with its own."""
    return tuple(row[name] for name in (*SETTING, "height", "width"))


def timing(row: Row) -> dict[str, Any]:
    """What `comparison.ratio` asks of a row: paired are rounds of one session and one setting."""
    session = (row["latency_session"], setting_of(row))
    return {name: row[name] for name in ("contended", "threads", "device")} | {"session": session, "rounds": row["rounds_ms"]}


def is_baseline(row: Row, baseline: str) -> bool:
    """Whether a row is of the baseline: a method; of networks a label, as a rule that of the first network as published."""
    return bool(row["label" if row["level"] == "model" else "method"] == baseline)


def compare(setting: list[Row], baseline: str) -> None:
    """Give the rows of a setting their place, and their speed relative to the baseline's where it is among them."""
    facts = list(map(timing, setting))
    reference = next((fact for row, fact in zip(setting, facts) if is_baseline(row, baseline)), None)
    places = ranking.ranks(facts, lambda one, other: comparison.verdict_of(one, other) == "slower")
    for row, fact, place in zip(setting, facts, places):
        row["place"] = place
        if reference is not None:
            speed = comparison.ratio(reference, fact)
            row["speedup"], row["speedup_lo"], row["speedup_hi"] = speed
            row["verdict"] = "baseline" if fact is reference else comparison.verdict_of(fact, reference)
            row["beside_baseline"] = fact["session"] == reference["session"]


def mark_front(setting: list[Row]) -> None:
    """Say of the rows of a setting, where several have an accuracy, which of them none beats in latency and accuracy together.

    A method at chance is never among them.
    """
    learnt = [row for row in setting if row.get("accuracy_status") == "ok"]
    if len(learnt) < 2:
        return
    for row in learnt:
        row["pareto"] = 0
    learnt = list(filter(learned.above_trivial, learnt))
    for row, unbeaten in zip(learnt, ranking.front([(row["latency_ms"], row["accuracy"]) for row in learnt])):
        row["pareto"] = int(unbeaten)


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
    """Write table.csv beside the journal, accuracy.csv where something was trained, and table.parquet where pyarrow is installed.

    The paths; `table` is the journal's tidy table.
    """
    table = tidy(journal) if table is None else table
    paths = [journal.path.with_name("table.csv"), *trainings.write(journal), *crossover.write(journal)]
    table.to_csv(paths[0], index=False)
    try:
        import pyarrow  # noqa: F401  # the extra `parquet`
    except ModuleNotFoundError:
        return paths
    paths.append(journal.path.with_name("table.parquet"))
    table.to_parquet(paths[-1], index=False)
    return paths
