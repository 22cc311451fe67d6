"""Roofline plot: operations per second against operations per byte, with the peak rates of the machine.

Williams, Waterman and Patterson 2009 (doi 10.1145/1498765.1498785). `bench.tables.roofline` defines operations and bytes: direct
forms count only taps inside the feature map, and each input and output array counts once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.journal import Journal
from bench.report.figures import frames, lines
from bench.report.figures.canvas import Drawing, below, logarithmic
from bench.report.text import short
from bench.tables import roofline

ROOF = "#404040"
READING = (
    "A line connects the resolutions of a method. Operations per call; bytes: input and output arrays, each once. Horizontal roofs:"
    " measured peak rates of products and transforms."
)


def draw(table: pd.DataFrame, journal: Journal) -> Iterator[Drawing]:
    """Draw a figure per setting whose environment has peak rates; `table` is that of `frames.complete`."""
    envs = table["env"].nunique()
    for setting, rows in frames.settings(table, "latency", ("height", "width")):
        peaks = journal.ceilings(setting["env"], setting["device"], setting["threads"])
        points = points_of(rows)
        if peaks and len(points):
            listed = frames.listed("roofline", setting, envs)
            limits = roofs(peaks, rows.loc[points.index, "bytes_min"], setting)
            yield listed, plot(points, rows, limits, listed.caption)


def points_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Return columns label, name, x (FLOP/B), y, lo, hi (GFLOP/s) and share (percent of the limit), the smallest map first."""
    flops = pd.Series([roofline.operations(row) for row in rows.to_dict("records")], rows.index, dtype="float64")
    known = rows[(rows["latency_status"] == "ok") & (flops > 0) & (rows["bytes_min"] > 0)].sort_values("side")
    work = flops[known.index]
    rate = {end: work / known[name] / 1e6 for end, name in (("y", "latency_ms"), ("lo", "latency_hi_ms"), ("hi", "latency_lo_ms"))}
    both = {"label": known["label"], "name": known["name"]}
    return pd.DataFrame({**both, "x": work / known["bytes_min"], **rate, "share": known["pct_of_limit"]})


def roofs(peaks: Mapping[str, Any], moved: pd.Series, setting: Mapping[str, Any]) -> dict[str, tuple[float, bool]]:
    """Return {text: (rate, of_bytes)}: bandwidths in GB/s at the smallest and largest of `moved` bytes, and rates in GFLOP/s."""
    limits = {}
    for size in sorted({moved.min(), moved.max()}):
        bandwidth = roofline.copy_rate(setting, size, peaks)
        if bandwidth:
            limits[f"{short(bandwidth / 1e9)} GB/s, a copy of {short(size / 1e6)} MB"] = (bandwidth / 1e9, True)
    for name, rate in roofline.rates(peaks, setting["dtype"]).items():
        limits[f"{name}, {short(rate / 1e9)} GFLOP/s"] = (rate / 1e9, False)
    return limits


def plot(points: pd.DataFrame, rows: pd.DataFrame, limits: Mapping[str, tuple[float, bool]], title: str) -> Figure:
    """Return one figure."""
    share = points.drop_duplicates("label", keep="last").set_index("label")["share"]

    def describe(label: str) -> str:
        return label if np.isnan(share[label]) else f"{label}  {share[label]:.0f}%"

    figure, panels = lines.stacked(points, describe, "% of limit, largest map")
    low, high = points["x"].min() / 1.5, points["x"].max() * 1.5
    top = max((rate for rate, of_bytes in limits.values() if not of_bytes), default=points["y"].max())
    for axes in panels:
        axes.set(xlim=(low, high), ylim=(points["y"].min() / 1.5, max(top, points["y"].max()) * 2), ylabel="GFLOP/s")
        for text, (rate, of_bytes) in limits.items():
            roof(axes, "" if of_bytes else text, rate, of_bytes, top)
        logarithmic(axes.xaxis)
        logarithmic(axes.yaxis)
    panels[-1].set_xlabel("operations per byte, FLOP/B")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    sloping = " and ".join(text for text, (_, of_bytes) in limits.items() if of_bytes)
    below(
        figure,
        f"{READING} Sloped roofs: {sloping} (smallest and largest cell). {frames.failures(rows, 'latency', ['side'])}".strip(),
    )
    return figure


def roof(axes: Axes, text: str, rate: float, of_bytes: bool, top: float) -> None:
    """Draw one roof: horizontal with its text, or sloped up to the highest horizontal roof."""
    low, high = axes.get_xlim()
    x = np.array([low, min(top / rate, high)]) if of_bytes else np.array([low, high])
    axes.plot(x, rate * x if of_bytes else [rate, rate], color=ROOF, linewidth=1, linestyle="-" if of_bytes else "--", zorder=1)
    axes.annotate(text, (high, rate), (-3, 2), textcoords="offset points", ha="right", fontsize=7.5)
