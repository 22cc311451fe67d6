"""Data of a figure from the tidy table: rows of one setting, names of the setting, and failures."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from bench.names import device_text, threads_text
from bench.report import style
from bench.report.text import missing, pixels
from bench.tables.cells import SETTING

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


def complete(table: pd.DataFrame) -> pd.DataFrame:
    """Add the columns `side` (root of the area of the map, px) and `form` (label without kernel size)."""
    side = (table["height"] * table["width"]) ** 0.5
    parts = [table, side.rename("side"), table["label"].map(without_kernel).rename("form")]
    return pd.concat(parts, axis=1).copy()  # the copy avoids pandas' fragmentation warning when columns are added later


def without_kernel(label: str) -> str:
    """Remove the kernel size from a label: `niff` for `niff[kernel=7]`."""
    return re.sub(r"([\[,])kernel=\d+\]", lambda match: "]" if match[1] == "," else "", label)


def kernel_sweeps(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of methods that were measured with at least `SWEPT` kernel sizes in one setting."""
    sizes = table.groupby([*FIXED, "form"], dropna=False)["kernel"].transform("nunique")
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


def slug(kind: str, setting: dict[str, Any], envs: int = 1) -> str:
    """Return a file name: the kind of figure, then the fixed axes of the setting that differ from the defaults."""
    parts = [kind, setting["device"]]
    parts += [threads_text(setting["threads"]).replace(" ", "-")] if setting["device"] == "cpu" else []
    parts += [setting["timer"]] if setting["device"] != "cpu" and not missing(setting.get("timer")) else []
    parts += ["networks"] if setting["level"] == "model" else []
    parts += [setting["dtype"], setting["mode"], f"b{setting['batch']}"]
    parts += [f"c{setting['channels']}"] if "channels" in setting and setting["level"] == "op" else []
    parts += [f"{setting['height']}x{setting['width']}px"] if "height" in setting else []
    parts += [f"seed{setting['seed']}"] if setting["seed"] else []
    parts += [setting["env"][:6]] if envs > 1 else []
    return re.sub(r"[^\w.+-]", "-", "_".join(map(str, parts)))


def title(setting: dict[str, Any], envs: int = 1) -> str:
    """Return the title of a figure: its setting as text."""
    timed = "" if setting["device"] == "cpu" or missing(setting.get("timer")) else f", timed {setting['timer']}"
    mode = {"infer": "inference", "train": "training step"}[setting["mode"]]
    size = f", {size_of(setting)}" if "height" in setting else ""
    channels = "networks" if setting["level"] == "model" else f"{setting['channels']} channels" if "channels" in setting else ""
    seed = f"seed {setting['seed']}" if setting["seed"] else ""
    env = f"environment {setting['env']}" if envs > 1 else ""
    device = f"{device_text(setting['device'], setting['threads'])}{timed}"
    return ", ".join(filter(None, (device, setting["dtype"], mode, f"batch {setting['batch']}", channels, seed, env))) + size


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


def panels(labels: Iterable[str]) -> dict[str, list[str]]:
    """Distribute methods over panels, {title: labels}: one panel if they are few, else one per group, split if necessary."""
    labels = list(labels)
    if len(labels) <= MAX_LINES:
        return {"": labels}
    groups: dict[str, list[str]] = {title: [] for title in (*GROUPS, OTHERS)}
    for label in labels:
        groups[group(label)].append(label)
    return {part: few for title, many in groups.items() for part, few in _parts(title, many)}


def group(label: str) -> str:
    """Return the title of the group of a method."""
    family = style.family(style.method(label))
    return next((title for title, families in GROUPS.items() if family in families), OTHERS)


def _parts(title: str, labels: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    count = -(-len(labels) // MAX_LINES)
    for number in range(count):
        part = f" ({number + 1} of {count})" if count > 1 else ""
        yield title + part, list(labels[number * MAX_LINES : (number + 1) * MAX_LINES])
