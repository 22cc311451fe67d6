"""What a figure takes from the tidy table: rows of one setting, the name of the setting, and what is missing."""

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
SWEPT = 3  # kernel sizes of one method from which on they are drawn against each other and not beside other methods
CROWD = 9  # lines in one panel that a reader still tells apart
NAMED = 8  # failures that a note names
GROUPS = {
    "depthwise kernels": ("dwconv",),
    "dense and continuous kernels": ("conv", "flexconv", "shared_basis"),
    "spectral filters": ("niff", "global_filter", "dynamic_filter", "afno"),
}
OTHERS = "other methods"


def complete(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the side of the map, px, the root of its area, and with every method's name without a kernel size."""
    side = (table["height"] * table["width"]) ** 0.5
    made = [table, side.rename("side"), table["label"].map(without_kernel).rename("form")]
    return pd.concat(made, axis=1).copy()  # in one piece: to a table in a hundred pieces pandas adds no column without a warning


def without_kernel(label: str) -> str:
    """`niff` for `niff[kernel=7]`."""
    return re.sub(r"([\[,])kernel=\d+\]", lambda found: "]" if found[1] == "," else "", label)


def kernel_sweeps(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of methods that a setting has with several kernel sizes."""
    sizes = table.groupby([*FIXED, "form"], dropna=False)["kernel"].transform("nunique")
    return table[sizes >= SWEPT]


def settings(table: pd.DataFrame, metric: str, free: Collection[str] = ()) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Each setting in which the metric was asked for, with its rows, whatever came out; `free` axes vary within it.

    Only a latency depends on the timer: rows that differ in nothing else are one.
    """
    asked = table[table[f"{metric}_status"].notna()]
    names = [name for name in FIXED if name not in free and (name != "timer" or metric == "latency")]
    if metric != "latency":
        asked = asked.drop_duplicates([*names, *free, "label"])
    for key, rows in asked.groupby(names, dropna=False, sort=False):
        yield dict(zip(names, key)), rows


def slug(kind: str, setting: dict[str, Any], envs: int = 1) -> str:
    """The name of a file: what it shows, then in which setting, as far as it is fixed and not the usual one."""
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


def words(setting: dict[str, Any], envs: int = 1) -> str:
    """The same for a reader: the line above a figure."""
    timed = "" if setting["device"] == "cpu" or missing(setting.get("timer")) else f", timed {setting['timer']}"
    mode = {"infer": "inference", "train": "training step"}[setting["mode"]]
    size = f", {size_of(setting)}" if "height" in setting else ""
    width = "networks" if setting["level"] == "model" else f"{setting['channels']} channels" if "channels" in setting else ""
    seed = f"seed {setting['seed']}" if setting["seed"] else ""
    env = f"environment {setting['env']}" if envs > 1 else ""
    first = f"{device_text(setting['device'], setting['threads'])}{timed}"
    return ", ".join(filter(None, (first, setting["dtype"], mode, f"batch {setting['batch']}", width, seed, env))) + size


def size_of(row: Any) -> str:
    return f"{pixels(row)} px"


def failures(rows: pd.DataFrame, metric: str, where: Sequence[str] = ()) -> str:
    """A note of the rows that are not in the figure: which method, at which value of these columns, and why."""
    failed = rows[rows[f"{metric}_status"] != "ok"]
    told = [f"{row['label']}{_at(row, where)} ({row[f'{metric}_status']})" for row in failed.to_dict("records")]
    more = [f"and {len(told) - NAMED} more"] if len(told) > NAMED else []
    return f"Not shown: {', '.join([*told[:NAMED], *more])}." if told else ""


def _at(row: dict[str, Any], where: Sequence[str]) -> str:
    units = {"side": " px", "kernel": " px", "channels": " channels"}
    return f" at {', '.join(f'{row[name]:g}{units[name]}' for name in where)}" if where else ""


def panels(labels: Iterable[str]) -> dict[str, list[str]]:
    """Methods by panel, {title: labels}: one without a title where they are few, else one a group, split where it is crowded."""
    labels = list(labels)
    if len(labels) <= CROWD:
        return {"": labels}
    found: dict[str, list[str]] = {title: [] for title in (*GROUPS, OTHERS)}
    for label in labels:
        found[group(label)].append(label)
    return {part: few for title, many in found.items() for part, few in _parts(title, many)}


def group(label: str) -> str:
    known = style.family(style.method(label))
    return next((title for title, families in GROUPS.items() if known in families), OTHERS)


def _parts(title: str, labels: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    count = -(-len(labels) // CROWD)
    for number in range(count):
        part = f" ({number + 1} of {count})" if count > 1 else ""
        yield title + part, list(labels[number * CROWD : (number + 1) * CROWD])
