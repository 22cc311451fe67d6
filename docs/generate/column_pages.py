"""The page that describes every column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from markdown import code, inline, table

from bench.columns import ACCURACY_COLUMNS, COLUMNS, METRICS, Column


def pages() -> dict[str, str]:
    return {"columns.md": "\n\n".join(page()) + "\n"}


def page() -> Iterator[str]:
    yield "# Columns"
    yield (
        "The columns of `table.csv`, with one row per cell, and of `accuracy.csv`, with one row per training. They are also the"
        " output of `python -m bench columns`."
    )
    yield (
        "An empty value was not measured; it is never a zero. Every metric also has two columns: `METRIC_status`, ok or the reason"
        " why its columns are empty, and `METRIC_detail`, a sentence on that reason."
    )
    yield "## Axes and columns derived from several metrics"
    yield explained(column for column in COLUMNS if not column.metric)
    for metric in METRICS:
        yield f"## {metric}"
        yield explained(column for column in COLUMNS if column.metric == metric)
    yield "## accuracy.csv"
    yield explained(ACCURACY_COLUMNS)


def explained(columns: Iterable[Column]) -> str:
    rows = ((code(column.name), column.unit, column.better, inline(column.meaning)) for column in columns)
    return table(("column", "unit", "better", "meaning"), rows)
