"""The page that explains every column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from markdown import code, inline, table

from bench.columns import ACCURACIES, COLUMNS, METRICS, Column


def pages() -> dict[str, str]:
    return {"columns.md": "\n\n".join(page()) + "\n"}


def page() -> Iterator[str]:
    yield "# Columns"
    yield "What `python -m bench columns` prints: of `table.csv`, one row a cell, and of `accuracy.csv`, one row a training."
    yield (
        "An empty value was not measured; it is never a zero. Beside the columns of a metric stand `METRIC_status`, ok or why they"
        " are empty, and `METRIC_detail`, the reason in words."
    )
    yield "## Axes, and what is computed of several metrics"
    yield explained(column for column in COLUMNS if not column.metric)
    for metric in METRICS:
        yield f"## {metric}"
        yield explained(column for column in COLUMNS if column.metric == metric)
    yield "## accuracy.csv"
    yield explained(ACCURACIES)


def explained(columns: Iterable[Column]) -> str:
    rows = ((code(one.name), one.unit, one.better, inline(one.meaning)) for one in columns)
    return table(("column", "unit", "better", "meaning"), rows)
