"""Tidy tables of several runs as JSON columns: compact, rounded to five significant digits, safe inside HTML."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bench.columns import COLUMNS, METRICS, Column
from bench.journal import Journal
from bench.report.leaderboard.ranking import remarks
from bench.report.text import missing
from bench.system import ceilings
from bench.tables import accuracy, roofline

if TYPE_CHECKING:
    import pandas as pd

Values = dict[str, list[Any]]
DIGITS = 5  # significant digits
SCALES = {"FLOP": ("GFLOP", 1e9), "B": ("MB", 1e6)}  # unit -> displayed unit and its size
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
SPREADS = {
    "latency_ms": {"lo": "latency_lo_ms", "hi": "latency_hi_ms"},
    "energy_j": {"lo": "energy_lo_j", "hi": "energy_hi_j"},
    "speedup": {"lo": "speedup_lo", "hi": "speedup_hi"},
    "accuracy": {"lo": "accuracy_lo", "hi": "accuracy_hi", "half": "accuracy_half"},
}
ORDERS = {"res": "side", "extent": "kernel_height"}  # text column -> column to sort by
OF_PAGE = (
    Column("run", "", "", "", "folder of the run"),
    Column("series", "", "", "", "name with the overridden options, without the kernel size"),
    Column("res", "", "px", "", "side of a square map, or height x width"),
    Column("side", "", "px", "", "side of a square map of the same area"),
    Column("extent", "", "px", "", "rows x columns of the spatial kernel; a learned size is the size at initialisation"),
    Column("gflop_per_s", "", "GFLOP/s", "", "operations over latency; direct forms count only taps inside the map (flops_eff)"),
    Column("flop_per_byte", "", "FLOP/B", "", "the same operations over the compulsory traffic bytes_min"),
    Column("copy_gb_per_s", "", "GB/s", "", "peak rate of a copy of bytes_min bytes on the machine"),
    Column("above_trivial", "", "", "", "1: the accuracy is significantly above the trivial accuracy"),
    Column("status", "", "", "", "ok, or the reason why a metric of the cell has no value"),
    Column("reason", "", "", "", "detailed reason, and timing problems"),
)
OF_METRICS = tuple(
    column
    for metric in METRICS
    for column in (
        Column(f"{metric}_status", "", "", "", f"ok, or the reason why the columns of {metric} are empty"),
        Column(f"{metric}_detail", "", "", "", "detailed reason"),
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


def collect(journals: Sequence[Journal], tables: Sequence[pd.DataFrame]) -> Values:
    """Return every column over the rows of all runs, in displayed units; None for missing values."""
    values: Values = {column.name: [] for column in ALL}
    for journal, table in zip(journals, tables):
        rows = [of_page(row, journal) for row in table.to_dict("records")]
        for column in ALL:
            values[column.name] += [scaled(row.get(column.name), column.unit) for row in rows]
    return values


def of_page(row: Mapping[Any, Any], journal: Journal) -> dict[str, Any]:
    """Add the columns of the page to a row of the tidy table."""
    status, reason = status_and_reason(row)
    kernel = f"kernel={row['kernel']:.0f}" if not missing(row["kernel"]) else ""
    square = row["height"] == row["width"]
    peaks = journal.envs.get(row["env"], {}).get("ceilings", {}).get(ceilings.where(row["device"], row["threads"]), {})
    work, moved = roofline.operations(dict(row)), row["bytes_min"]
    own = {
        "run": journal.name,
        "series": strip_kernel(row["label"], kernel),
        "res": str(row["height"]) if square else f"{row['height']}x{row['width']}",
        "side": math.sqrt(row["height"] * row["width"]),
        "extent": None if missing(row["kernel_height"]) else f"{row['kernel_height']:.0f}x{row['kernel_width']:.0f}",
        "gflop_per_s": ratio(work, row["latency_ms"], 1e6),
        "flop_per_byte": ratio(work, moved),
        "copy_gb_per_s": None if missing(moved) else ratio(roofline.copy_rate(dict(row), moved, peaks), 1e9),
        "above_trivial": None if missing(row["accuracy"]) else int(accuracy.above_trivial(dict(row))),
        "status": status,
        "reason": reason,
    }
    return {**row, **own}


def status_and_reason(row: Mapping[Any, Any]) -> tuple[str, str | None]:
    """Return the status of a row ("ok", or that of the first failed metric), and its failures and timing problems."""
    failed = [metric for metric in STATUS_ORDER if not missing(row[f"{metric}_status"]) and row[f"{metric}_status"] != "ok"]
    reasons = [": ".join(filter(None, (metric, row[f"{metric}_status"], detail(row, metric)))) for metric in failed]
    status = row[f"{failed[0]}_status"] if failed else "ok"
    return status, "; ".join([*reasons, *remarks(dict(row))]) or None


def detail(row: Mapping[Any, Any], metric: str) -> str:
    """Return why a metric has no value, or ""."""
    return "" if missing(row[f"{metric}_detail"]) else row[f"{metric}_detail"]


def strip_kernel(label: str, kernel: str) -> str:
    """Remove the kernel size from a label, in which it is the last option."""
    return label.replace(f"[{kernel}]", "").replace(f",{kernel}]", "]") if kernel else label


def ratio(above: Any, below: Any, scale: float = 1.0) -> float | None:
    """Return above / below / scale; None if a value is missing or the denominator is 0."""
    return None if missing(above) or missing(below) or not below else above / below / scale


def scaled(value: Any, unit: str) -> Any:
    """Return a value in its displayed unit, rounded; None for missing and infinite values."""
    if missing(value) or (isinstance(value, float) and math.isinf(value)):
        return None
    if isinstance(value, str):
        return value
    number = value / SCALES[unit][1] if unit in SCALES else value
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
    unit = "" if column.unit == "name" else SCALES.get(column.unit, (column.unit, 1))[0]
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
