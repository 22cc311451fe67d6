"""Speedup of each method over the baseline: a heat map of methods and settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.figures import frames
from bench.report.figures.canvas import Drawing, below, canvas
from bench.report.text import missing, short

FREE = ("height", "width", "channels")
MAX_COLUMNS = 14  # columns of one figure; if there are more, one figure per number of channels
READING = "Speedup over {baseline}, > 1 is faster. Grey italics: no significant difference, or the status of a failed cell."
CLIP = 3.0  # log2 of the speedup at which the colours saturate
GREY = "#707070"


def draw(table: pd.DataFrame) -> Iterator[Drawing]:
    """Draw a figure per setting whose baseline was measured at two sizes or more; `table` is that of `frames.complete`."""
    envs = table["env"].nunique()
    for setting, rows in frames.settings(table, "latency", FREE):
        wide = rows[["side", "channels"]].drop_duplicates().shape[0] > MAX_COLUMNS
        for number, part in rows.groupby("channels") if wide else [(None, rows)]:
            fixed = setting if number is None else setting | {"channels": number}
            if (part["verdict"] == "baseline").sum() > 1 and part["label"].nunique() > 1:
                listed = frames.listed("relative", fixed, envs)
                yield listed, plot(part, listed.caption)


def plot(rows: pd.DataFrame, title: str) -> Figure:
    """Return one figure."""
    rows = rows.assign(size=[column_text(row, rows["channels"].nunique() > 1) for row in rows.to_dict("records")])
    order = rows.groupby("label")["speedup"].median().sort_values(ascending=False, na_position="last").index
    columns = rows.sort_values(["channels", "side"])["size"].unique()
    speedups = rows.pivot_table(index="label", columns="size", values="speedup", dropna=False, observed=False)
    speedups = speedups.reindex(index=order, columns=columns)
    figure, grid = canvas(height=1.6 + 0.24 * len(order))
    panel(grid[0, 0], speedups, {(row["label"], row["size"]): row for row in rows.to_dict("records")})
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    baseline = rows[rows["verdict"] == "baseline"]["label"].iloc[0]
    below(figure, READING.format(baseline=baseline))
    return figure


def column_text(row: dict[str, Any], several: bool) -> str:
    """Return the label of a column: the resolution and, if there are several, the number of channels."""
    return frames.size_of(row) + (f"\nC{row['channels']}" if several else "")


def panel(axes: Axes, speedups: pd.DataFrame, rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Draw the logarithms of the speedups as colours (orange above 1, purple below) and the speedups as numbers."""
    logs = np.log2(speedups.to_numpy(dtype=float))
    options = {"cmap": "PuOr_r", "vmin": -CLIP, "vmax": CLIP, "cbar": False, "linewidths": 1}
    sns.heatmap(pd.DataFrame(logs, speedups.index, speedups.columns), mask=np.isnan(logs), ax=axes, **options)
    axes.set(xlabel="", ylabel="")
    axes.grid(visible=False)
    axes.tick_params(axis="both", rotation=0, labelsize=8.5)
    for (label, size), row in rows.items():
        x, y = list(speedups.columns).index(size) + 0.5, list(speedups.index).index(label) + 0.5
        known = not missing(row["speedup"])
        text = short(row["speedup"]) if known else "" if row["latency_status"] == "ok" else row["latency_status"]
        significant = row["verdict"] in ("faster", "slower", "baseline")
        dark = known and abs(np.log2(row["speedup"])) > 0.75 * CLIP
        colour = "white" if dark else "black" if significant else GREY
        axes.text(x, y, text, ha="center", va="center", fontsize=8, color=colour, style="normal" if significant else "italic")
