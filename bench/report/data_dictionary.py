"""The page that explains every column of the tables."""

from __future__ import annotations

from collections.abc import Iterable

from bench.columns import ACCURACIES, COLUMNS, Column
from bench.report.text import table
from bench.tables import crossover


def dictionary() -> str:
    """The page that explains every column."""
    status = [
        Column("METRIC_status", "", "", "", "ok, or why the metric's columns are empty"),
        Column("METRIC_detail", "", "", "", "the reason in words"),
    ]
    return f"""\
# Columns of table.csv

One row a cell. An empty value was not measured; it is never a zero.

{explained([*COLUMNS, *status])}
# Columns of accuracy.csv

One row a training and resolution at which it was evaluated; the file is there where something was trained. What each epoch gave is
in journal.jsonl, in `rounds` of its record.

{explained(ACCURACIES)}
# Columns of crossover.csv

One row a setting in which the direct and the Fourier form of a depthwise convolution were measured over kernel sizes; the file is
there where they were.

{explained(crossover.COLUMNS)}"""


def explained(columns: Iterable[Column]) -> str:
    lines = [{"column": f"`{c.name}`", "unit": c.unit, "better": c.better, "meaning": c.meaning} for c in columns]
    return table(lines, left=("column", "unit", "better", "meaning"))
