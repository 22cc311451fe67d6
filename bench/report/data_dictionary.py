"""Page that describes every column of the tables."""

from __future__ import annotations

from collections.abc import Iterable

from bench.columns import ACCURACY_COLUMNS, COLUMNS, Column
from bench.report.markdown import pipe
from bench.tables import crossover


def dictionary() -> str:
    """Return the page as markdown."""
    status = [
        Column("METRIC_status", meaning="ok, or the reason why the columns of the metric are empty"),
        Column("METRIC_detail", meaning="detailed reason"),
    ]
    return f"""\
# Columns of table.csv

One row per cell. An empty value was not measured; it does not mean zero.

{columns_table([*COLUMNS, *status])}
# Columns of accuracy.csv

One row per training and evaluation resolution. The file exists if the run has trainings. The results of each epoch are in
journal.jsonl, in `rounds` of the record.

{columns_table(ACCURACY_COLUMNS)}
# Columns of crossover.csv

One row per setting in which the direct and the Fourier form of a depthwise convolution were measured over kernel sizes. The file
exists if the run has such a setting.

{columns_table(crossover.COLUMNS)}"""


def columns_table(columns: Iterable[Column]) -> str:
    """Return the columns as a markdown table."""
    rows = [(f"`{column.name}`", column.unit, column.better, column.meaning) for column in columns]
    return pipe(("column", "unit", "better", "meaning"), rows, ["left"] * 4) + "\n"
