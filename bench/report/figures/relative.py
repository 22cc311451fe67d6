"""How many times faster than the baseline each method is: a field a method and setting, failures in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from bench.report.figures import frames
from bench.report.figures.canvas import below, canvas, save
from bench.report.text import missing, short

FREE = ("height", "width", "channels")
MOST = 14  # columns of one figure; beyond, a figure a number of channels
READING = "Times faster than {baseline}, above 1 faster. Grey italics: not told apart from it, or the status of what did not run."
CLIP = 3.0  # powers of two at which the colours end
QUIET = "#707070"


def draw(table: pd.DataFrame, folder: Path) -> Iterator[Path]:
    """A figure for each setting in which a baseline was measured in two places or more; `table` is that of `frames.complete`."""
    envs = table["env"].nunique()
    for setting, rows in frames.settings(table, "latency", FREE):
        wide = rows[["side", "channels"]].drop_duplicates().shape[0] > MOST
        for number, part in rows.groupby("channels") if wide else [(None, rows)]:
            here = setting if number is None else setting | {"channels": number}
            if (part["verdict"] == "baseline").sum() > 1 and part["label"].nunique() > 1:
                name = frames.slug("relative", here, envs)
                yield from picture(part, frames.words(here, envs), folder, name)


def picture(rows: pd.DataFrame, title: str, folder: Path, name: str) -> list[Path]:
    """One figure, written; its paths."""
    rows = rows.assign(place=[where(row, rows["channels"].nunique() > 1) for row in rows.to_dict("records")])
    order = rows.groupby("label")["speedup"].median().sort_values(ascending=False, na_position="last").index
    columns = rows.sort_values(["channels", "side"])["place"].unique()
    speeds = rows.pivot_table(index="label", columns="place", values="speedup", dropna=False, observed=False)
    speeds = speeds.reindex(index=order, columns=columns)
    figure, grid = canvas(height=1.6 + 0.24 * len(order))
    panel(grid[0, 0], speeds, {(row["label"], row["place"]): row for row in rows.to_dict("records")})
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    baseline = rows[rows["verdict"] == "baseline"]["label"].iloc[0]
    below(figure, READING.format(baseline=baseline))
    return save(figure, folder, name)


def where(row: dict[str, Any], several: bool) -> str:
    return frames.size_of(row) + (f"\nC{row['channels']}" if several else "")


def panel(axes: Axes, speeds: pd.DataFrame, rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Colours by the logarithm of the ratio, orange above 1 and purple below, and the ratio as a number."""
    logs = np.log2(speeds.to_numpy(dtype=float))
    options = {"cmap": "PuOr_r", "vmin": -CLIP, "vmax": CLIP, "cbar": False, "linewidths": 1}
    sns.heatmap(pd.DataFrame(logs, speeds.index, speeds.columns), mask=np.isnan(logs), ax=axes, **options)
    axes.set(xlabel="", ylabel="")
    axes.grid(visible=False)
    axes.tick_params(axis="both", rotation=0, labelsize=8.5)
    for (label, place), row in rows.items():
        x, y = list(speeds.columns).index(place) + 0.5, list(speeds.index).index(label) + 0.5
        known = not missing(row["speedup"])
        text = short(row["speedup"]) if known else "" if row["latency_status"] == "ok" else row["latency_status"]
        told = row["verdict"] in ("faster", "slower", "baseline")
        dark = known and abs(np.log2(row["speedup"])) > 0.75 * CLIP
        colour = "white" if dark else "black" if told else QUIET
        axes.text(x, y, text, ha="center", va="center", fontsize=8, color=colour, style="normal" if told else "italic")
