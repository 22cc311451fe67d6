"""Tidy tables of several runs as JSON columns: compact, rounded to five significant digits, safe inside HTML."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.axes import size_text
from bench.columns import COLUMNS, METRICS, SCALES, Column
from bench.journal import Journal
from bench.report.leaderboard.ranking import remarks
from bench.report.text import missing
from bench.tables import accuracy, roofline
from bench.tables.row import Row

Values = dict[str, list[Any]]
DIGITS = 5  # significant digits
TITLES = {
    "label": "method",
    "method": "registered name",
    "extent": "kernel",
    "latency_ms": "latency",
    "mem_peak_bytes": "memory",
    "params": "options",
    "params_count": "params",
    "pct_of_limit": "share of limit",
    "kernel": "kernel size",
    "res": "resolution",
    "side": "resolution",
    "env": "environment",
    "place": "rank",
    "accuracy_floor": "trivial accuracy",
    "accuracy_floor_of": "trivial predictor",
    "convs_exchanged": "convs replaced",
    "convs_kept": "convs unchanged",
    "convs_kept_why": "convs unchanged, reasons",
    "gflop_per_s": "rate",
    "flop_per_byte": "intensity",
}
SPREADS = {column.name: dict(zip(("lo", "hi"), column.interval)) for column in COLUMNS if column.interval} | {
    "accuracy": {"lo": "accuracy_lo", "hi": "accuracy_hi", "half": "accuracy_half"},
}
ORDERS = {"res": "side", "extent": "kernel_height"}  # text column -> column to sort by
OF_PAGE = (
    Column("run", meaning="folder of the run"),
    Column("series", meaning="name with the overridden options, without the kernel size"),
    Column("res", unit="px", meaning="side of a square map, or height x width"),
    Column("side", unit="px", meaning="side of a square map of the same area"),
    Column("extent", unit="px", meaning="rows x columns of the spatial kernel; a learned size is the size at initialisation"),
    Column(
        "gflop_per_s", unit="GFLOP/s", meaning="operations over latency; direct forms count only taps inside the map (flops_eff)"
    ),
    Column("flop_per_byte", unit="FLOP/B", meaning="the same operations over the compulsory traffic bytes_min"),
    Column("copy_gb_per_s", unit="GB/s", meaning="peak rate of a copy of bytes_min bytes on the machine"),
    Column("above_trivial", meaning="1: the accuracy is significantly above the trivial accuracy"),
    Column("status", meaning="ok, or the reason why a metric of the cell has no value"),
    Column("reason", meaning="detailed reason, and timing problems"),
)
OF_METRICS = tuple(
    column
    for metric in METRICS
    for column in (
        Column(f"{metric}_status", meaning=f"ok, or the reason why the columns of {metric} are empty"),
        Column(f"{metric}_detail", meaning="detailed reason"),
    )
)
ALL = (*OF_PAGE, *COLUMNS, *OF_METRICS)
STATUS_ORDER = ("latency", *(metric for metric in METRICS if metric != "latency"))  # the first failure is the status of the cell


@dataclass(frozen=True)
class Shown:
    """A column of the page; `spread` names the columns of its interval, `order` the column to sort by."""

    name: str
    title: str
    unit: str
    better: str
    meaning: str
    metric: str
    number: bool
    whole: bool
    spread: Mapping[str, str] | None
    order: str


def collect(journals: Sequence[Journal], complete: Sequence[Sequence[Row]]) -> Values:
    """Return every column over the complete rows of all runs, in displayed units; None for missing values."""
    values: Values = {column.name: [] for column in ALL}
    for journal, of_run in zip(journals, complete):
        rows = [of_page(row, journal) for row in of_run]
        for column in ALL:
            values[column.name] += [scaled(row.get(column.name), column.unit) for row in rows]
    return values


def of_page(row: Row, journal: Journal) -> dict[str, Any]:
    """Add the columns of the page to a complete row, which has its series already."""
    status, reason = status_and_reason(row)
    peaks = journal.ceilings(row["env"], row["device"], row["threads"])
    work, moved = roofline.operations(row.values), row["bytes_min"]
    own = {
        "run": journal.name,
        "res": size_text(row.values),
        "side": math.sqrt(row["height"] * row["width"]),
        "extent": None if missing(row["kernel_height"]) else f"{row['kernel_height']:.0f}x{row['kernel_width']:.0f}",
        "gflop_per_s": ratio(work, row["latency_ms"], 1e6),
        "flop_per_byte": ratio(work, moved),
        "copy_gb_per_s": None if missing(moved) else ratio(roofline.copy_rate(row.values, moved, peaks), 1e9),
        "above_trivial": None if missing(row["accuracy"]) else int(accuracy.above_trivial(row.values)),
        "status": status,
        "reason": reason,
    }
    return {**row.values, "series": row.series, **own}


def status_and_reason(row: Row) -> tuple[str, str | None]:
    """Return the status of a row ("ok", or that of the first failed metric), and its failures and timing problems."""
    failed = [metric for metric in STATUS_ORDER if not missing(row[f"{metric}_status"]) and row[f"{metric}_status"] != "ok"]
    reasons = [": ".join(filter(None, (metric, row[f"{metric}_status"], detail(row, metric)))) for metric in failed]
    status = row[f"{failed[0]}_status"] if failed else "ok"
    return status, "; ".join([*reasons, *remarks(row)]) or None


def detail(row: Row, metric: str) -> str:
    """Return why a metric has no value, or ""."""
    return "" if missing(row[f"{metric}_detail"]) else row[f"{metric}_detail"]


def ratio(above: Any, below: Any, scale: float = 1.0) -> float | None:
    """Return above / below / scale; None if a value is missing or the denominator is 0."""
    return None if missing(above) or missing(below) or not below else above / below / scale


def scaled(value: Any, unit: str) -> Any:
    """Return a value in its displayed unit, rounded; None for missing and infinite values."""
    if missing(value) or (isinstance(value, float) and math.isinf(value)):
        return None
    if isinstance(value, str):
        return value
    number = value / SCALES[unit][0] if unit in SCALES else value
    return int(number) if number == int(number) else float(f"{number:.{max(DIGITS, digits_of(number))}g}")


def digits_of(number: float) -> int:
    """Count the digits before the decimal point."""
    return len(str(int(abs(number))))


def shown(column: Column, values: Sequence[Any]) -> Shown:
    """Return how the page shows a column of these values."""
    present = [value for value in values if value is not None]
    number = bool(present) and not any(isinstance(value, str) for value in present)
    whole = number and column.unit in ("", "px") and all(isinstance(value, int) for value in present)
    title = TITLES.get(column.name, column.name.removesuffix("_ms").removesuffix("_bytes").replace("_", " "))
    unit = "" if column.unit == "name" else SCALES.get(column.unit, (1, column.unit))[1]
    common = {name: getattr(column, name) for name in ("name", "better", "meaning", "metric")}
    order = ORDERS.get(column.name, column.name)
    return Shown(**common, title=title, unit=unit, number=number, whole=whole, spread=SPREADS.get(column.name), order=order)


def packed(values: Sequence[Any]) -> dict[str, list[Any]]:
    """Encode a column by codes if it has few levels; a constant column has only its level."""
    levels = list(dict.fromkeys(values))
    if len(levels) <= 1:
        return {"levels": levels}
    if len(levels) > len(values) // 2:
        return {"plain": list(values)}
    codes = {level: code for code, level in enumerate(levels)}
    return {"levels": levels, "codes": [codes[value] for value in values]}


def table(values: Values) -> dict[str, Any]:
    """Return number of rows, columns and values as read by the page."""
    columns = [asdict(shown(column, values[column.name])) for column in ALL]
    return {
        "rows": len(values["run"]),
        "columns": columns,
        "values": {name: packed(column) for name, column in values.items()},
    }


def island(data: Any) -> str:
    """Return JSON that is safe inside a script element: it cannot end the element or start a comment."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
