"""Latency and memory against resolution and channels on logarithmic axes, with the exponent of each method."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from bench.report.figures import fit, frames, lines
from bench.report.figures.canvas import Drawing, below, logarithmic


class Quantity(NamedTuple):
    """The vertical axis: the column of a metric, the columns of its interval, and the unit of the axis."""

    metric: str
    column: str
    text: str
    unit: float
    lo: str = ""
    hi: str = ""


class Along(NamedTuple):
    """The horizontal axis: its column, the axes of the setting that vary with it, and its symbol in a power law."""

    name: str
    column: str
    free: tuple[str, ...]
    text: str
    symbol: str


QUANTITIES = (
    Quantity("latency", "latency_ms", "latency per call, ms", 1, "latency_lo_ms", "latency_hi_ms"),
    Quantity("memory", "mem_peak_bytes", "peak memory per call, MB", 1e6),
)
ALONG = (
    Along("resolution", "side", ("height", "width"), "side of the map, px", "side"),
    Along("channels", "channels", ("channels",), "channels", "channels"),
)

READING = "Exponents: least squares on logarithms; ± reflects the deviation from a power law, not the measurement errors."


def draw(table: pd.DataFrame, along: Along, quantity: Quantity) -> Iterator[Drawing]:
    """Draw a figure per setting with at least two values on the horizontal axis; `table` is that of `frames.complete`."""
    envs = table["env"].nunique()
    for setting, rows in frames.settings(table, quantity.metric, along.free):
        points = points_of(rows, quantity, along)
        if points["x"].nunique() > 1:
            listed = frames.listed(f"{quantity.metric}-{along.name}", setting, envs)
            yield listed, plot(points, rows, quantity, along, listed.caption)


def points_of(rows: pd.DataFrame, quantity: Quantity, along: Along) -> pd.DataFrame:
    """Return columns label, name, x, y, lo and hi of the successful cells, in the units of the axes."""
    ran = rows[(rows[f"{quantity.metric}_status"] == "ok") & (rows[quantity.column] > 0)]
    ends = {end: ran[name] / quantity.unit if name else float("nan") for end, name in (("lo", quantity.lo), ("hi", quantity.hi))}
    points = {"label": ran["label"], "name": ran["name"], "x": ran[along.column], "y": ran[quantity.column] / quantity.unit}
    return pd.DataFrame({**points, **ends}).sort_values("x")


def plot(points: pd.DataFrame, rows: pd.DataFrame, quantity: Quantity, along: Along, title: str) -> Figure:
    """Return one figure."""
    fitted = {label: fit.exponent(line["x"].tolist(), line["y"].tolist()) for label, line in points.groupby("label")}
    law = f"a in {quantity.metric} ~ {along.symbol}^a, 95%"
    figure, panels = lines.stacked(points, lambda label: f"{label}  {fit.text(fitted[label])}", law)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    for axes in panels:
        axes.set_ylabel(quantity.text)
        logarithmic(axes.yaxis)
        logarithmic(axes.xaxis, sorted(points["x"].unique()))
    panels[-1].set_xlabel(along.text)
    below(figure, f"{READING} {frames.failures(rows, quantity.metric, [along.column])}".strip())
    return figure
