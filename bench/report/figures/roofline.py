"""Operations a second against operations a byte, under the roofs of the machine: how far from its limits each cell is.

Williams, Waterman and Patterson 2009 (doi 10.1145/1498765.1498785). `bench.tables.roofline` defines operations and bytes: a
direct form counts the taps inside the map, and each input and output array counts once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench.journal import Journal
from bench.report.figures import frames, lines
from bench.report.figures.canvas import below, logarithmic, save
from bench.report.text import short
from bench.system import ceilings
from bench.tables import roofline

ROOF = "#404040"
READING = (
    "A line joins the maps of a method. Operations and bytes: those of one call; of bytes, what goes in or out, once. Level roofs:"
    " the best rates seen of products and of transforms."
)


def draw(table: pd.DataFrame, journal: Journal, folder: Path) -> Iterator[Path]:
    """A figure for each setting whose environment has ceilings; `table` is that of `frames.complete`."""
    envs = table["env"].nunique()
    for setting, rows in frames.settings(table, "latency", ("height", "width")):
        here = journal.envs.get(setting["env"], {}).get("ceilings", {}).get(ceilings.where(setting["device"], setting["threads"]))
        points = points_of(rows)
        if here and len(points):
            name = frames.slug("roofline", setting, envs)
            limits = roofs(here, rows.loc[points.index, "bytes_min"], setting)
            yield from picture(points, rows, limits, frames.words(setting, envs), folder, name)


def points_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Columns label, x (FLOP a byte), y (GFLOP a second), lo, hi and share (percent of the limit), the smallest map first."""
    flops = pd.Series([roofline.operations(row) for row in rows.to_dict("records")], rows.index, dtype="float64")
    known = rows[(rows["latency_status"] == "ok") & (flops > 0) & (rows["bytes_min"] > 0)].sort_values("side")
    work = flops[known.index]
    rate = {end: work / known[name] / 1e6 for end, name in (("y", "latency_ms"), ("lo", "latency_hi_ms"), ("hi", "latency_lo_ms"))}
    return pd.DataFrame({"label": known["label"], "x": work / known["bytes_min"], **rate, "share": known["pct_of_limit"]})


def roofs(here: Mapping[str, Any], moved: pd.Series, setting: Mapping[str, Any]) -> dict[str, tuple[float, bool]]:
    """{text: (rate, whether it is of bytes)}, in 1e9 a second; `moved`: the bytes of the cells that are drawn."""
    found = {}
    for size in sorted({moved.min(), moved.max()}):
        rate = roofline.copy_rate(setting, size, here)
        if rate:
            found[f"{short(rate / 1e9)} GB/s, a copy of {short(size / 1e6)} MB"] = (rate / 1e9, True)
    for name, best in roofline.rates(here, setting["dtype"]).items():
        found[f"{name}, {short(best / 1e9)} GFLOP/s"] = (best / 1e9, False)
    return found


def picture(
    points: pd.DataFrame, rows: pd.DataFrame, limits: Mapping[str, tuple[float, bool]], title: str, folder: Path, name: str
) -> list[Path]:
    """One figure, written; its paths."""
    share = points.drop_duplicates("label", keep="last").set_index("label")["share"]

    def describe(label: str) -> str:
        return label if np.isnan(share[label]) else f"{label}  {share[label]:.0f}%"

    figure, panels = lines.stacked(points, describe, "% of the limit, largest map")
    low, high = points["x"].min() / 1.5, points["x"].max() * 1.5
    top = max((rate for rate, of_bytes in limits.values() if not of_bytes), default=points["y"].max())
    for axes in panels:
        axes.set(xlim=(low, high), ylim=(points["y"].min() / 1.5, max(top, points["y"].max()) * 2), ylabel="GFLOP/s")
        for text, (rate, of_bytes) in limits.items():
            roof(axes, "" if of_bytes else text, rate, of_bytes, top)
        logarithmic(axes.xaxis)
        logarithmic(axes.yaxis)
    panels[-1].set_xlabel("operations a byte, FLOP/B")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    sloping = " and ".join(text for text, (_, of_bytes) in limits.items() if of_bytes)
    below(
        figure,
        f"{READING} Sloping: {sloping}, as the smallest and the largest cell. {frames.failures(rows, 'latency', ['side'])}".strip(),
    )
    return save(figure, folder, name)


def roof(axes: Axes, text: str, rate: float, of_bytes: bool, top: float) -> None:
    """One limit: level with its text, or rising with the operations a byte up to the highest level."""
    low, high = axes.get_xlim()
    x = np.array([low, min(top / rate, high)]) if of_bytes else np.array([low, high])
    axes.plot(x, rate * x if of_bytes else [rate, rate], color=ROOF, linewidth=1, linestyle="-" if of_bytes else "--", zorder=1)
    axes.annotate(text, (high, rate), (-3, 2), textcoords="offset points", ha="right", fontsize=7.5)
