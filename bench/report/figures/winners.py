"""Fastest method at each resolution and number of channels, in the colour of the method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from bench.report import style
from bench.report.figures import frames
from bench.report.figures.canvas import Drawing, below, canvas
from bench.stats import ratios
from bench.tables.row import Row

FREE = ("height", "width", "channels")
MAX_NAMES = 4  # methods named per tile
READING = (
    "Each tile: the fastest method, which determines the colour, and below it the methods tied with it. A kernel covers the map if"
    " it is at least as large as the map, or if the method has no kernel of limited size."
)


def draw(table: pd.DataFrame, rows: Sequence[Row]) -> Iterator[Drawing]:
    """Draw a figure per setting with at least two resolutions and two numbers of channels.

    `table` has some of the rows, by index; the rows provide the rounds of the latencies.
    """
    envs = table["env"].nunique()
    timed = pd.Series([rows[index].timed for index in table.index], table.index, name="timed", dtype=object)
    for setting, requested in frames.settings(pd.concat([table, timed], axis=1), "latency", FREE):
        ran = requested[requested["latency_status"] == "ok"]
        if ran["label"].nunique() > 1 and ran["side"].nunique() > 1 and ran["channels"].nunique() > 1:
            listed = frames.listed("winners", setting, envs)
            yield listed, plot(ran, requested, listed.caption)


def plot(ran: pd.DataFrame, rows: pd.DataFrame, title: str) -> Figure:
    """Return one figure."""
    parts = {"all methods": ran, "methods whose kernel covers the map": ran[covers(ran)]}
    parts = {text: part for text, part in parts.items() if part["label"].nunique() > 1}
    height = 1.2 + len(parts) * (0.7 + 0.62 * ran["channels"].nunique())
    figure, grid = canvas(len(parts), 1, height, sharex=False)
    for axes, (text, part) in zip(grid[:, 0], parts.items()):
        panel(axes, part)
        axes.set_title(text)
        axes.set(ylabel="channels", xlabel="")
    grid[-1, 0].set_xlabel("resolution of the map")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    below(figure, f"{READING} {frames.failures(rows, 'latency', ['side', 'channels'])}".strip())
    return figure


def covers(rows: pd.DataFrame) -> pd.Series:
    """Return for each row whether its kernel is at least as large as the map in both directions, or has no size."""
    large = (rows["kernel_height"] >= rows["height"]) & (rows["kernel_width"] >= rows["width"])
    return large | rows["kernel_height"].isna()


def panel(axes: Axes, part: pd.DataFrame) -> None:
    """Draw a tile per number of channels (vertical, the largest on top) and resolution (horizontal)."""
    part = part.assign(size=[frames.size_of(row) for row in part.to_dict("records")])
    columns = part.sort_values("side")["size"].unique()
    lines = sorted(part["channels"].unique(), reverse=True)
    tiles = {key: best(rows.to_dict("records")) for key, rows in part.groupby(["channels", "size"])}
    winners = sorted({names[0] for names in tiles.values()})
    number = np.array([[_index(tiles.get((line, column)), winners) for column in columns] for line in lines])
    colours = {label: style.of(name, label).colour for label, name in zip(part["label"], part["name"])}
    options = {
        "cbar": False,
        "vmin": -0.5,
        "vmax": len(winners) - 0.5,
        "linewidths": 2,
        "xticklabels": columns,
        "yticklabels": lines,
    }
    sns.heatmap(
        pd.DataFrame(number), cmap=ListedColormap([colours[label] for label in winners]), mask=np.isnan(number), ax=axes, **options
    )
    axes.grid(visible=False)
    axes.tick_params(axis="y", rotation=0)
    for (line, column), names in tiles.items():
        _annotate(axes, list(columns).index(column) + 0.5, lines.index(line) + 0.5, names, colours[names[0]])


def best(rows: Sequence[dict[Any, Any]]) -> list[str]:
    """Return the labels of the fastest row and of the rows that are not significantly slower, the fastest first."""
    rows = sorted(rows, key=lambda row: row["latency_ms"])
    return [row["label"] for row in rows if not ratios.slower(row["timed"], rows[0]["timed"])]


def _index(names: Sequence[str] | None, winners: Sequence[str]) -> float:
    return np.nan if names is None else winners.index(names[0])


def _annotate(axes: Axes, x: float, y: float, names: Sequence[str], tile: str) -> None:
    """Write the winner in bold and the tied methods below it, in white or black depending on the colour of the tile."""
    colour = "black" if style.luma(tile) > 110 else "white"
    tied = [*names[1:MAX_NAMES], *([f"and {len(names) - MAX_NAMES} more"] if len(names) > MAX_NAMES else [])]
    options: dict[str, Any] = {"ha": "center", "color": colour, "linespacing": 1.05}
    axes.text(x, y - 0.04 if tied else y, names[0], va="bottom" if tied else "center", fontsize=8.5, weight="bold", **options)
    axes.text(x, y, "\n".join(tied), va="top", fontsize=7, **options)
