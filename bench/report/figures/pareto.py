"""Accuracy against latency with the Pareto front, the intervals of both, and the trivial accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report import style
from bench.report.figures import frames
from bench.report.figures.canvas import Drawing, below, canvas, handle, legend, logarithmic
from bench.report.text import missing

FRONT_MARK = "◆ "
READING = "◆ and line: Pareto front; no other method is as fast and as accurate and better in one, by point estimates."


def draw(table: pd.DataFrame) -> Iterator[Drawing]:
    """Draw a figure per setting and resolution with a Pareto front; `table` is that of `frames.complete`."""
    envs = table["env"].nunique()
    for setting, rows in frames.settings(table, "latency"):
        both = rows[(rows["latency_status"] == "ok") & (rows["accuracy_status"] == "ok")]
        if both["pareto"].notna().sum() > 1:
            listed = frames.listed("pareto", setting, envs)
            listed = replace(listed, caption=f"{listed.caption}\naccuracy on {task(both)}")
            yield listed, plot(both, rows, listed.caption)


def plot(both: pd.DataFrame, rows: pd.DataFrame, title: str) -> Figure:
    """Return one figure."""
    figure, grid = canvas(height=max(4.6, 1.8 + 0.19 * len(both)))
    axes = grid[0, 0]
    points(axes, both)
    front = both[both["pareto"] == 1].sort_values("latency_ms")
    axes.plot(front["latency_ms"], front["accuracy"], color="#404040", linewidth=1, drawstyle="steps-post", zorder=1)
    for trivial, source in both[["accuracy_floor", "accuracy_floor_of"]].dropna().drop_duplicates().itertuples(index=False):
        axes.axhline(trivial, color="#404040", linewidth=1, linestyle=":")
        text, offset = f"trivial: {source}", ("axes fraction", "data")
        axes.annotate(text, (1, trivial), (-3, 2), offset, "offset points", ha="right", fontsize=8)
    axes.set(xlabel="latency per call, ms", ylabel="accuracy, %")
    logarithmic(axes.xaxis)
    best = both.sort_values("accuracy", ascending=False)
    entries = {row["label"]: (row["name"], FRONT_MARK * (row["pareto"] == 1)) for row in best.to_dict("records")}
    handles = [handle(style.of(name, label), mark + label, line=False) for label, (name, mark) in entries.items()]
    legend(axes, handles, "by accuracy")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    failed = [frames.failures(rows, "latency"), frames.failures(rows[rows["accuracy_status"].notna()], "accuracy")]
    below(figure, " ".join(filter(None, [READING, *failed])))
    return figure


def task(both: pd.DataFrame) -> str:
    """Return the data set, the resolution and the network of the accuracies."""
    first = both.iloc[0]
    network = "" if missing(first["accuracy_network"]) else f" in {first['accuracy_network']}"
    return f"{first['accuracy_data']} at {first['accuracy_res']:g} px{network}"


def points(axes: Axes, both: pd.DataFrame) -> None:
    """Draw one marker per method, with error bars for the known intervals."""
    for row in both.to_dict("records"):
        marker_style = style.of(row["name"], row["label"])
        front = row["pareto"] == 1
        axes.errorbar(
            row["latency_ms"],
            row["accuracy"],
            xerr=_error_bar(row["latency_ms"], row["latency_lo_ms"], row["latency_hi_ms"]),
            yerr=_error_bar(row["accuracy"], row["accuracy_lo"], row["accuracy_hi"]),
            color=marker_style.colour,
            marker=marker_style.marker,
            markersize=9 if front else 7,
            markeredgecolor="black" if front else "white",
            elinewidth=1,
            alpha=0.85,
            zorder=3 if front else 2,
        )


def _error_bar(mid: float, lo: float, hi: float) -> np.ndarray | None:
    """Return the lengths of an error bar below and above its midpoint, (2, 1); None without an interval."""
    return None if np.isnan([lo, hi]).any() else np.array([[max(mid - lo, 0)], [max(hi - mid, 0)]])
