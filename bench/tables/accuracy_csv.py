"""The tidy table of what was learned: one row a training and resolution of evaluation, a pure function of the journal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.columns import ACCURACIES
from bench.journal import Journal
from bench.spec import Record
from bench.tables import accuracy as learned

NAMES = [column.name for column in ACCURACIES]
FIGURES = {"params_count": "accuracy_params"} | {
    column.name: f"accuracy_{column.name}"
    for column in ACCURACIES
    if column.metric and column.name not in ("accuracy", "params_count")
}


def write(journal: Journal) -> list[Path]:
    """Write accuracy.csv beside the journal where there are trainings; its path."""
    import pandas as pd

    found = [row for record in learned.trained(journal) for row in rows(record)]
    path = journal.path.with_name("accuracy.csv")
    if not found:
        path.unlink(missing_ok=True)  # of what is history now
        return []
    pd.DataFrame(found, columns=NAMES).to_csv(path, index=False)
    return [path]


def rows(record: Record) -> Iterator[dict[str, Any]]:
    """The training at its own resolution, then each other evaluation."""
    res = learned.training(record).res
    common = _axes(record) | {name: record.values.get(long) for name, long in FIGURES.items()}
    own = {"accuracy": record.values.get("accuracy"), "status": record.status, "detail": record.detail}
    yield common | {"eval_res": res, "way": ""} | own
    for elsewhere, way, found in learned.evaluations(record):
        if isinstance(found, str):
            status, _, detail = found.partition(": ")
            own = {"accuracy": None, "status": status, "detail": detail}
        else:
            own = {"accuracy": found, "status": "ok", "detail": ""}
        yield common | {"eval_res": elsewhere, "way": way} | own


def _axes(record: Record) -> dict[str, Any]:
    cell, protocol = record.job.cell, learned.training(record)
    return {
        **{name: getattr(cell, name) for name in ("method", "label", "network", "device", "threads", "seed")},
        "params": json.dumps(dict(cell.params)),
        "data": protocol.data,
        "res": protocol.res,
        "protocol": learned.protocol_of(record),
        "env": record.env,
    }
