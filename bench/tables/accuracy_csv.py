"""Tidy table of the trainings: one row per training and evaluation resolution, computed from the journal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.columns import ACCURACY_COLUMNS
from bench.journal import Journal
from bench.spec import Record
from bench.tables import accuracy

if TYPE_CHECKING:
    import pandas as pd

NAMES = [column.name for column in ACCURACY_COLUMNS]
VALUES = {"params_count": "accuracy_params"} | {
    column.name: f"accuracy_{column.name}"
    for column in ACCURACY_COLUMNS
    if column.metric and column.name not in ("accuracy", "params_count")
}


def write(journal: Journal) -> list[Path]:
    """Write accuracy.csv next to the journal if it has trainings, else delete an older file. Return the paths written."""
    table = frame(journal)
    path = journal.path.with_name("accuracy.csv")
    if table.empty:
        path.unlink(missing_ok=True)
        return []
    table.to_csv(path, index=False)
    return [path]


def frame(journal: Journal) -> pd.DataFrame:
    """Return the table as a data frame; empty without trainings."""
    import pandas as pd

    return pd.DataFrame((row for record in accuracy.training_records(journal) for row in rows(record)), columns=NAMES)


def rows(record: Record) -> Iterator[dict[str, Any]]:
    """Yield the row of the training resolution, then one row per other evaluation."""
    res = accuracy.training(record).res
    common = _axes(record) | {name: record.values.get(value) for name, value in VALUES.items()}
    trained = {"accuracy": record.values.get("accuracy"), "status": record.status, "detail": record.detail}
    yield common | {"eval_res": res, "way": ""} | trained
    for evaluation in accuracy.evaluations(record):
        result = {name: getattr(evaluation, name) for name in ("way", "accuracy", "status", "detail")}
        yield common | {"eval_res": evaluation.res} | result


def _axes(record: Record) -> dict[str, Any]:
    cell, protocol = record.job.cell, accuracy.training(record)
    return {
        **{name: getattr(cell, name) for name in ("method", "label", "network", "device", "threads", "seed")},
        "params": json.dumps(dict(cell.params)),
        "data": protocol.data,
        "res": protocol.res,
        "protocol": accuracy.protocol_of(record),
        "env": record.env,
    }
