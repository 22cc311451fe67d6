"""Latency against the kernel size, with the size from which on the Fourier form of a convolution beats the direct one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench.journal import Journal
from bench.report import style
from bench.report.figures import frames, lines
from bench.report.figures.canvas import below, canvas, handle, logarithmic, save
from bench.tables import crossover

COLUMNS = 2
MAPS = 6  # resolutions in one figure, the others in the next
TICKS = 8  # kernel sizes that the axis names
SHADE = "#f2e6b8"
READING = "Shaded: from the last kernel size at which the direct form is told to be faster to the first from which on the other is."


def draw(table: pd.DataFrame, journal: Journal, folder: Path) -> Iterator[Path]:
    """A figure for each setting of the rows, those of `frames.kernel_sweeps`, with a panel a resolution."""
    envs = table["env"].nunique()
    crossings = crossover.rows(journal)
    for setting, rows in frames.settings(table, "latency", ("height", "width")):
        sizes = list(rows.sort_values("side").groupby("side"))
        for start in range(0, len(sizes), MAPS):
            part = f"-{start // MAPS + 1}" if len(sizes) > MAPS else ""
            name = frames.slug(f"crossover{part}", setting, envs)
            title = frames.words(setting, envs)
            yield from picture([one for _, one in sizes[start : start + MAPS]], setting, crossings, title, folder, name)


def picture(
    maps: Sequence[pd.DataFrame],
    setting: dict[str, Any],
    crossings: Sequence[crossover.Row],
    title: str,
    folder: Path,
    name: str,
) -> list[Path]:
    """One figure of the rows of each resolution, written; its paths."""
    columns = min(COLUMNS, len(maps))
    figure, grid = canvas(-(-len(maps) // columns), columns, 1.2 + 2.8 * -(-len(maps) // columns), sharex=True, sharey=True)
    for axes, rows in zip(grid.flat, maps):
        row = rows.iloc[0]
        here = setting | {"height": row["height"], "width": row["width"]}
        found = next(
            (line for line in crossings if all(line[axis] == here[axis] for axis in (*crossover.AXES, "timer", "env"))), {}
        )
        panel(axes, rows, found, f"{frames.size_of(row)}")
    together = pd.concat(maps)
    for axes in grid.flat[: len(maps)]:
        logarithmic(axes.yaxis)
        logarithmic(axes.xaxis, ticks(together["kernel"].unique()))
    for axes in grid.flat[len(maps) :]:
        axes.remove()
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    figure.supylabel("latency of a call, ms", fontsize=10)
    for axes in grid.flat[max(len(maps) - columns, 0) : len(maps)]:
        axes.set_xlabel("kernel size, px")
        axes.tick_params(labelbottom=True)
        axes.xaxis.label.set_visible(True)  # matplotlib hides that of a panel with an empty place below
    forms = [handle(style.of(form), form) for form in sorted(together["form"].unique())]
    figure.legend(handles=forms, loc="outside upper right", ncols=min(len(forms), 4), handlelength=3.2)
    known = [READING] if crossings else []
    below(figure, " ".join([*known, frames.failures(together, "latency", ["side"])]).strip())
    return save(figure, folder, name)


def panel(axes: Axes, rows: pd.DataFrame, crossing: crossover.Row, title: str) -> None:
    """The methods at one resolution, and where the two forms cross."""
    ran = rows[rows["latency_status"] == "ok"].sort_values("kernel")
    points = {
        "label": ran["form"],
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
    """The crossing in words."""
    until, since = crossing.get("direct_until"), crossing.get("fourier_from")
    told = [f"direct until {until}"] if until else []
    told += [f"Fourier from {since} px"] if since else []
    return ", ".join(told) or "not told apart"


def ticks(kernels: np.ndarray) -> list[float]:
    """As many of the sizes as an axis has room for, about evenly on a logarithmic scale, the first and the last among them."""
    known = sorted(kernels)
    if len(known) <= TICKS:
        return known
    wanted = np.geomspace(known[0], known[-1], TICKS)
    return sorted({min(known, key=lambda size: abs(math.log(size / one))) for one in wanted})
