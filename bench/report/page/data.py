"""The tidy tables of several runs as the columns of one page: small, exact to five digits, and safe inside HTML."""

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
from bench.tables import accuracy as learned
from bench.tables import roofline

if TYPE_CHECKING:
    import pandas as pd

Values = dict[str, list[Any]]
DIGITS = 5  # significant ones of a figure
SCALES = {"FLOP": ("GFLOP", 1e9), "B": ("MB", 1e6)}  # the unit that a reader sees, and how many of the journal's it is
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
    "gflop_per_s": "rate",
    "flop_per_byte": "intensity",
}
SPREADS = {
    "latency_ms": {"lo": "latency_lo_ms", "hi": "latency_hi_ms"},
    "energy_j": {"lo": "energy_lo_j", "hi": "energy_hi_j"},
    "speedup": {"lo": "speedup_lo", "hi": "speedup_hi"},
    "accuracy": {"lo": "accuracy_lo", "hi": "accuracy_hi", "half": "accuracy_half"},
}
ORDERS = {"res": "side", "extent": "kernel_height"}  # what a column of text is sorted by
OF_PAGE = (
    Column("run", "", "", "", "folder of the run"),
    Column("series", "", "", "", "name with overridden options, without the kernel size"),
    Column("res", "", "px", "", "side of a square map, or height x width"),
    Column("side", "", "px", "", "side of a square map of the same area"),
    Column("extent", "", "px", "", "rows x columns of the spatial kernel; a learned size is that of the initialisation"),
    Column("gflop_per_s", "", "GFLOP/s", "", "operations over latency; of a direct form the taps inside the map, flops_eff"),
    Column("flop_per_byte", "", "FLOP/B", "", "the same operations over bytes_min, the compulsory traffic"),
    Column("copy_gb_per_s", "", "GB/s", "", "best rate of a copy of as many bytes as bytes_min on the machine"),
    Column("above_floor", "", "", "", "1: the accuracy is told from its floor"),
    Column("status", "", "", "", "ok, or why a metric of the cell has no value"),
    Column("reason", "", "", "", "the reason in words, and what the clock noticed"),
)
OF_METRICS = tuple(
    column
    for metric in METRICS
    for column in (
        Column(f"{metric}_status", "", "", "", f"ok, or why the columns of {metric} are empty"),
        Column(f"{metric}_detail", "", "", "", "the reason in words"),
    )
)
ALL = (*OF_PAGE, *COLUMNS, *OF_METRICS)
FIRST = ("latency", *(metric for metric in METRICS if metric != "latency"))  # whose status stands for the cell's


@dataclass(frozen=True)
class Shown:
    """A column as the page shows it; `spread` names the columns of its interval, `order` the one that it is sorted by."""

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
    """Every column over the rows of all runs, in the units that are shown; None where there is no value."""
    found: Values = {column.name: [] for column in ALL}
    for journal, table in zip(journals, tables):
        rows = [of_page(row, journal) for row in table.to_dict("records")]
        for column in ALL:
            found[column.name] += [scaled(row.get(column.name), column.unit) for row in rows]
    return found


def of_page(row: Mapping[Any, Any], journal: Journal) -> dict[str, Any]:
    """A row of the tidy table with the columns that only the page has."""
    status, reason = outcome(row)
    kernel = f"kernel={row['kernel']:.0f}" if not missing(row["kernel"]) else ""
    square = row["height"] == row["width"]
    here = journal.envs.get(row["env"], {}).get("ceilings", {}).get(ceilings.where(row["device"], row["threads"]), {})
    work, moved = roofline.operations(dict(row)), row["bytes_min"]
    own = {
        "run": journal.name,
        "series": without(row["label"], kernel),
        "res": str(row["height"]) if square else f"{row['height']}x{row['width']}",
        "side": math.sqrt(row["height"] * row["width"]),
        "extent": None if missing(row["kernel_height"]) else f"{row['kernel_height']:.0f}x{row['kernel_width']:.0f}",
        "gflop_per_s": over(work, row["latency_ms"], 1e6),
        "flop_per_byte": over(work, moved),
        "copy_gb_per_s": None if missing(moved) else over(roofline.copy_rate(dict(row), moved, here), 1e9),
        "above_floor": None if missing(row["accuracy"]) else int(learned.above_trivial(dict(row))),
        "status": status,
        "reason": reason,
    }
    return {**row, **own}


def outcome(row: Mapping[Any, Any]) -> tuple[str, str | None]:
    """ok, or the first status of a metric that is not; the reasons of all that are not, and what the clock noticed."""
    failed = [metric for metric in FIRST if not missing(row[f"{metric}_status"]) and row[f"{metric}_status"] != "ok"]
    told = [": ".join(filter(None, (metric, row[f"{metric}_status"], detail(row, metric)))) for metric in failed]
    status = row[f"{failed[0]}_status"] if failed else "ok"
    return status, "; ".join([*told, *remarks(dict(row))]) or None


def detail(row: Mapping[Any, Any], metric: str) -> str:
    """Why a metric has no value; empty where that is not said."""
    return "" if missing(row[f"{metric}_detail"]) else row[f"{metric}_detail"]


def without(label: str, kernel: str) -> str:
    """A label less its kernel size, which `Cell.label` names last."""
    return label.replace(f"[{kernel}]", "").replace(f",{kernel}]", "]") if kernel else label


def over(above: Any, below: Any, scale: float = 1.0) -> float | None:
    """A ratio divided by `scale`; None where one of the two is missing or the lower is 0."""
    return None if missing(above) or missing(below) or not below else above / below / scale


def scaled(value: Any, unit: str) -> Any:
    """A value in the unit that is shown, rounded; None for what JSON has no number for."""
    if missing(value) or (isinstance(value, float) and math.isinf(value)):
        return None
    if isinstance(value, str):
        return value
    number = value / SCALES[unit][1] if unit in SCALES else value
    return int(number) if number == int(number) else float(f"{number:.{max(DIGITS, digits_of(number))}g}")


def digits_of(number: float) -> int:
    """Digits before the point."""
    return len(str(int(abs(number))))


def shown(column: Column, values: Sequence[Any]) -> Shown:
    """How the page shows a column of these values."""
    there = [value for value in values if value is not None]
    number = bool(there) and not any(isinstance(value, str) for value in there)
    whole = number and column.unit in ("", "px") and all(isinstance(value, int) for value in there)
    title = TITLES.get(column.name, column.name.removesuffix("_ms").removesuffix("_bytes").replace("_", " "))
    unit = "" if column.unit == "name" else SCALES.get(column.unit, (column.unit, 1))[0]
    kept = {name: getattr(column, name) for name in ("name", "better", "meaning", "metric")}
    order = ORDERS.get(column.name, column.name)
    return Shown(**kept, title=title, unit=unit, number=number, whole=whole, spread=SPREADS.get(column.name), order=order)


def packed(values: Sequence[Any]) -> dict[str, list[Any]]:
    """Values by code where few differ, as they are otherwise; a constant column needs no codes."""
    levels = list(dict.fromkeys(values))
    if len(levels) <= 1:
        return {"levels": levels}
    if len(levels) > len(values) // 2:
        return {"plain": list(values)}
    place = {level: code for code, level in enumerate(levels)}
    return {"levels": levels, "codes": [place[value] for value in values]}


def table(values: Values) -> dict[str, Any]:
    """Number of rows, the columns and their values, as the page reads them."""
    columns = [asdict(shown(column, values[column.name])) for column in ALL]
    return {
        "rows": len(values["run"]),
        "columns": columns,
        "values": {name: packed(column) for name, column in values.items()},
    }


def island(data: Any) -> str:
    """JSON that may stand inside a script element: no sign of it can end the element or begin a comment."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
