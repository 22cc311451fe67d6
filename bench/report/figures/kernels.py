"""Latency against kernel size, with the size from which the Fourier form of a convolution is faster than the direct form."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.journal import Journal
from bench.report import style
from bench.report.figures import frames, lines
from bench.report.figures.canvas import Drawing, below, canvas, handle, logarithmic
from bench.tables import crossover

COLUMNS = 2
MAPS = 6  # maximum number of resolutions per figure
TICKS = 8  # maximum number of ticks on the axis of kernel sizes
SHADE = "#f2e6b8"
READING = "Shaded: from the last kernel size with a significantly faster direct form to the first with a faster Fourier form."


def draw(table: pd.DataFrame, journal: Journal) -> Iterator[Drawing]:
    """Draw a figure per setting of the rows of `frames.kernel_sweeps`, with a panel per resolution."""
    envs = table["env"].nunique()
    crossings = crossover.rows(journal)
    for setting, rows in frames.settings(table, "latency", ("height", "width")):
        sizes = list(rows.sort_values("side").groupby("side"))
        for start in range(0, len(sizes), MAPS):
            part = f"-{start // MAPS + 1}" if len(sizes) > MAPS else ""
            listed = frames.listed("crossover", setting, envs, part)
            maps = [of_size for _, of_size in sizes[start : start + MAPS]]
            yield listed, plot(maps, setting, crossings, listed.caption)


def plot(
    maps: Sequence[pd.DataFrame],
    setting: dict[str, Any],
    crossings: Sequence[crossover.Row],
    title: str,
) -> Figure:
    """Return the figure of the rows of several resolutions."""
    columns = min(COLUMNS, len(maps))
    figure, grid = canvas(-(-len(maps) // columns), columns, 1.2 + 2.8 * -(-len(maps) // columns), sharex=True, sharey=True)
    for axes, rows in zip(grid.flat, maps):
        row = rows.iloc[0]
        fixed = setting | {"height": row["height"], "width": row["width"]}
        axis_names = (*crossover.AXES, "timer", "env")
        crossing = next((line for line in crossings if all(line[axis] == fixed[axis] for axis in axis_names)), {})
        panel(axes, rows, crossing, f"{frames.size_of(row)}")
    together = pd.concat(maps)
    for axes in grid.flat[: len(maps)]:
        logarithmic(axes.yaxis)
        logarithmic(axes.xaxis, ticks(together["kernel"].unique()))
    for axes in grid.flat[len(maps) :]:
        axes.remove()
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    figure.supylabel("latency per call, ms", fontsize=10)
    for axes in grid.flat[max(len(maps) - columns, 0) : len(maps)]:
        axes.set_xlabel("kernel size, px")
        axes.tick_params(labelbottom=True)
        axes.xaxis.label.set_visible(True)  # matplotlib hides the label above an empty cell of the grid
    series = sorted(set(zip(together["series"], together["name"])))
    handles = [handle(style.of(name, label), label) for label, name in series]
    figure.legend(handles=handles, loc="outside upper right", ncols=min(len(handles), 4), handlelength=3.2)
    known = [READING] if crossings else []
    below(figure, " ".join([*known, frames.failures(together, "latency", ["side"])]).strip())
    return figure


def panel(axes: Axes, rows: pd.DataFrame, crossing: crossover.Row, title: str) -> None:
    """Draw the methods at one resolution and the crossover of the two forms."""
    ran = rows[rows["latency_status"] == "ok"].sort_values("kernel")
    points = {
        "label": ran["series"],
        "name": ran["name"],
        "x": ran["kernel"],
        "y": ran["latency_ms"],
        "lo": ran["latency_lo_ms"],
        "hi": ran["latency_hi_ms"],
    }
    lines.draw(axes, pd.DataFrame(points))
    until, since = crossing.get("direct_until"), crossing.get("fourier_from")
    if until and since:
        axes.axvspan(until, since, color=SHADE, zorder=0)
    axes.set_title(f"{title}: {verdict(crossing)}" if crossing else title)


def verdict(crossing: crossover.Row) -> str:
    """Return the crossover as text."""
    until, since = crossing.get("direct_until"), crossing.get("fourier_from")
    parts = [f"direct until {until}"] if until else []
    parts += [f"Fourier from {since} px"] if since else []
    return ", ".join(parts) or "no significant difference"


def ticks(kernels: np.ndarray) -> list[float]:
    """Select at most `TICKS` sizes, about evenly spaced on a logarithmic scale, including the first and the last."""
    sizes = sorted(kernels)
    if len(sizes) <= TICKS:
        return sizes
    targets = np.geomspace(sizes[0], sizes[-1], TICKS)
    return sorted({min(sizes, key=lambda size: abs(math.log(size / target))) for target in targets})
