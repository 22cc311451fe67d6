"""Data of a figure from the tidy table: rows of one setting, names of the setting, and failures."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from bench.axes import setting_text, short_parts
from bench.report import manifest, style
from bench.report.text import pixels
from bench.tables.cells import SETTING, to_frame
from bench.tables.row import Row

FIXED = (*SETTING, "height", "width")
SWEPT = 3  # number of kernel sizes of one method from which on they are a sweep, drawn in separate figures
MAX_LINES = 9  # distinguishable lines per panel
MAX_NAMED = 8  # failures named in a note
GROUPS = {
    "depthwise kernels": ("dwconv",),
    "dense and continuous kernels": ("conv", "flexconv", "shared_basis"),
    "spectral filters": ("niff", "global_filter", "dynamic_filter", "afno"),
}
OTHERS = "other methods"


def complete(rows: Sequence[Row]) -> pd.DataFrame:
    """Return the tidy table of all rows with the columns `side` (root of the area of the map, px), `series` and `name`.

    `series` is the label without the kernel size; `name` selects the colour (`style.styled_name`).
    """
    table = to_frame(rows)
    added = {
        "side": (table["height"] * table["width"]) ** 0.5,
        "series": [row.series for row in rows],
        "name": [style.styled_name(row["method"], row["network"]) for row in rows],
    }
    parts = [table, pd.DataFrame(added, table.index)]
    return pd.concat(parts, axis=1).copy()  # the copy avoids pandas' fragmentation warning when columns are added later


def kernel_sweeps(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of methods that were measured with at least `SWEPT` kernel sizes in one setting."""
    sizes = table.groupby([*FIXED, "series"], dropna=False)["kernel"].transform("nunique")
    return table[sizes >= SWEPT]


def settings(table: pd.DataFrame, metric: str, free: Collection[str] = ()) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield each setting in which the metric was requested, with its rows, including failures; `free` axes vary within it.

    Only latency depends on the timer: for other metrics, rows that differ only in the timer are merged.
    """
    requested = table[table[f"{metric}_status"].notna()]
    names = [name for name in FIXED if name not in free and (name != "timer" or metric == "latency")]
    if metric != "latency":
        requested = requested.drop_duplicates([*names, *free, "label"])
    for key, rows in requested.groupby(names, dropna=False, sort=False):
        yield dict(zip(names, key)), rows


def listed(kind: str, setting: dict[str, Any], envs: int = 1, part: str = "") -> manifest.Figure:
    """Return the entry of a figure in the list of figures; `part` distinguishes figures of one setting."""
    parts = [re.sub(r"[^\w.+-]", "-", text) for text in (*short_parts(setting), *([setting["env"][:6]] if envs > 1 else []))]
    return manifest.Figure(f"{'_'.join([kind + part, *parts])}.svg", kind, ", ".join(parts), title(setting, envs))


def title(setting: dict[str, Any], envs: int = 1) -> str:
    """Return the title of a figure: its setting as text."""
    return setting_text(setting) + (f", environment {setting['env']}" if envs > 1 else "")


def size_of(row: Any) -> str:
    """Return the size of the map of a row as text."""
    return f"{pixels(row)} px"


def failures(rows: pd.DataFrame, metric: str, columns: Sequence[str] = ()) -> str:
    """Return a note on the rows that are not shown: method, values of these columns, and status."""
    failed = rows[rows[f"{metric}_status"] != "ok"]
    names = [f"{row['label']}{_at(row, columns)} ({row[f'{metric}_status']})" for row in failed.to_dict("records")]
    more = [f"and {len(names) - MAX_NAMED} more"] if len(names) > MAX_NAMED else []
    return f"Not shown: {', '.join([*names[:MAX_NAMED], *more])}." if names else ""


def _at(row: dict[str, Any], columns: Sequence[str]) -> str:
    units = {"side": " px", "kernel": " px", "channels": " channels"}
    return f" at {', '.join(f'{row[name]:g}{units[name]}' for name in columns)}" if columns else ""


def panels(names: Mapping[str, str]) -> dict[str, list[str]]:
    """Distribute labels over panels, {title: labels}: one panel if they are few, else one per group, split if necessary.

    `names` are the names of the methods by label.
    """
    if len(names) <= MAX_LINES:
        return {"": list(names)}
    groups: dict[str, list[str]] = {title: [] for title in (*GROUPS, OTHERS)}
    for label, name in names.items():
        groups[group(name)].append(label)
    return {part: few for title, many in groups.items() for part, few in _parts(title, many)}


def group(name: str) -> str:
    """Return the title of the group of a method."""
    family = style.family(name)
    return next((title for title, families in GROUPS.items() if family in families), OTHERS)


def _parts(title: str, labels: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    count = -(-len(labels) // MAX_LINES)
    for number in range(count):
        part = f" ({number + 1} of {count})" if count > 1 else ""
        yield title + part, list(labels[number * MAX_LINES : (number + 1) * MAX_LINES])
