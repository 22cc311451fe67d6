"""What a reader may choose on the page, and what is chosen when it opens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.columns import COLUMNS
from bench.journal import Journal
from bench.report.page.data import Values

SWEPT = ("res", "channels", "kernel", "series", "status")
FILTERS = ("run", "level", "device", "dtype", "mode", "threads", "batch", "timer", "seed", "env", *SWEPT)
# Shown where they vary.
VARYING = ("run", "level", "res", "channels", "dtype", "mode", "device", "threads", "batch", "timer", "seed", "env")
FIGURES = ("latency_ms", "rounds", "speedup", "params_count", "flops", "mem_peak_bytes", "accuracy", "pct_of_limit", "energy_j")
USUAL = ("extent", *FIGURES)
PARETO = ("latency_ms", "accuracy")


def choices(journals: Sequence[Journal], values: Values) -> dict[str, Any]:
    """The filters, the columns that can be compared, and the page as it opens."""
    compared = [column.name for column in COLUMNS if column.better and measured(values[column.name])]
    return {
        "filters": FILTERS,
        "compared": compared,
        "opened": {"run": richest(journals, values), "columns": columns(values)} | axes(compared),
    }


def axes(compared: Sequence[str]) -> dict[str, str]:
    """The columns that the charts open with: latency, and accuracy beside it, where there are such."""
    first = PARETO[0] if PARETO[0] in compared else next(iter(compared), "")
    second = next((name for name in (PARETO[1], "mem_peak_bytes", *compared) if name in compared and name != first), first)
    return {"y": first, "across": first, "up": second}


def columns(values: Values) -> list[str]:
    """The method, the axes that vary, the figures that were taken, and the status."""
    vary = [name for name in VARYING if len(set(values[name])) > 1]
    taken = [name for name in USUAL if measured(values[name])]
    return ["label", *vary, *taken, "status"]


def richest(journals: Sequence[Journal], values: Values) -> list[str]:
    """The run that timed most methods, the newest of such; none of none."""
    begun = {one.name: max((run["started"] for run in one.runs), default=0.0) for one in journals}
    timed: dict[str, set[str]] = {name: set() for name in begun}
    for run, series, latency in zip(values["run"], values["series"], values["latency_ms"]):
        if latency is not None:
            timed[run].add(series)
    return [max(begun, key=lambda name: (len(timed[name]), begun[name]))] if begun else []


def measured(column: Sequence[Any]) -> bool:
    return any(value is not None for value in column)
