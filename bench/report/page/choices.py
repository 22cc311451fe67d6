"""Filters and columns offered on the page, and their initial selection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.axes import AXES
from bench.columns import COLUMNS, METRICS
from bench.journal import Journal
from bench.report.page.data import Values

SWEPT = ("res", "channels", "kernel")
OTHER_AXES = tuple(axis.name for axis in AXES if axis.name not in SWEPT)
FILTERS = ("run", "level", *OTHER_AXES, "timer", "env", *SWEPT, "series", "status")
VARYING = ("run", "level", "res", "channels", *OTHER_AXES, "timer", "env")  # shown as columns if they vary
HEADLINES = tuple(metric.headline.name for name, metric in METRICS.items() if name != "properties")
FIRST = ("latency_ms", "rounds", "speedup")
DEFAULT_COLUMNS = ("extent", *FIRST, *(name for name in HEADLINES if name not in FIRST), "pct_of_limit")
PARETO = ("latency_ms", "accuracy")


def choices(journals: Sequence[Journal], values: Values) -> dict[str, Any]:
    """Return the filters, the columns that can be compared, and the initial state of the page."""
    compared = [column.name for column in COLUMNS if column.better and measured(values[column.name])]
    return {
        "filters": FILTERS,
        "compared": compared,
        "opened": {"run": default_run(journals, values), "columns": columns(values)} | axes(compared),
    }


def axes(compared: Sequence[str]) -> dict[str, str]:
    """Return the initial columns of the charts: latency and accuracy if measured."""
    first = PARETO[0] if PARETO[0] in compared else next(iter(compared), "")
    second = next((name for name in (PARETO[1], "mem_peak_bytes", *compared) if name in compared and name != first), first)
    return {"y": first, "across": first, "up": second}


def columns(values: Values) -> list[str]:
    """Return the initial columns of the table: method, varying axes, measured values and status."""
    varying = [name for name in VARYING if len(set(values[name])) > 1]
    filled = [name for name in DEFAULT_COLUMNS if measured(values[name])]
    return ["label", *varying, *filled, "status"]


def default_run(journals: Sequence[Journal], values: Values) -> list[str]:
    """Return the run that timed the most methods, the newest of those, as a list; empty without runs."""
    started = {journal.name: max((run["started"] for run in journal.runs), default=0.0) for journal in journals}
    timed: dict[str, set[str]] = {name: set() for name in started}
    for run, series, latency in zip(values["run"], values["series"], values["latency_ms"]):
        if latency is not None:
            timed[run].add(series)
    return [max(started, key=lambda name: (len(timed[name]), started[name]))] if started else []


def measured(column: Sequence[Any]) -> bool:
    """Return True if any row has a value in the column."""
    return any(value is not None for value in column)
