"""Which method is the fastest where: a map over resolutions and channels, coloured as the method is everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from bench.report import style
from bench.report.figures import frames
from bench.report.figures.canvas import below, canvas, save
from bench.stats import ratios as comparison
from bench.tables.cells import Row, timing

FREE = ("height", "width", "channels")
NAMES = 4  # methods that a field names
READING = (
    "Each field: the fastest method, whose colour it has, and below it those that its rounds do not tell from it. A kernel covers"
    " the map where it is as large, or where the method has none of a limited size."
)


def draw(table: pd.DataFrame, rows: Sequence[Row], folder: Path) -> Iterator[Path]:
    """A figure for each setting with two resolutions and two numbers of channels or more.

    `table` is of some of the rows, which are told apart by the figures of their rounds; its index counts them.
    """
    envs = table["env"].nunique()
    rounds = pd.Series([rows[index].get("rounds_ms") for index in table.index], table.index, name="rounds_ms", dtype=object)
    for setting, found in frames.settings(pd.concat([table, rounds], axis=1), "latency", FREE):
        ran = found[found["latency_status"] == "ok"]
        if ran["side"].nunique() > 1 and ran["channels"].nunique() > 1:
            name = frames.slug("winners", setting, envs)
            yield from picture(ran, found, frames.words(setting, envs), folder, name)


def picture(ran: pd.DataFrame, rows: pd.DataFrame, title: str, folder: Path, name: str) -> list[Path]:
    """One figure, written; its paths."""
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
    return save(figure, folder, name)


def covers(rows: pd.DataFrame) -> pd.Series:
    """Whether a kernel is as large as the map in both directions, or has no size."""
    whole = (rows["kernel_height"] >= rows["height"]) & (rows["kernel_width"] >= rows["width"])
    return whole | rows["kernel_height"].isna()


def panel(axes: Axes, part: pd.DataFrame) -> None:
    """A field for each number of channels (down, the largest on top) and resolution (to the right)."""
    part = part.assign(size=[frames.size_of(row) for row in part.to_dict("records")])
    columns = part.sort_values("side")["size"].unique()
    lines = sorted(part["channels"].unique(), reverse=True)
    fields = {key: best(rows.to_dict("records")) for key, rows in part.groupby(["channels", "size"])}
    winners = sorted({names[0] for names in fields.values()})
    number = np.array([[_index(fields.get((line, column)), winners) for column in columns] for line in lines])
    colours = ListedColormap([style.of(name).colour for name in winners])
    options = {
        "cbar": False,
        "vmin": -0.5,
        "vmax": len(winners) - 0.5,
        "linewidths": 2,
        "xticklabels": columns,
        "yticklabels": lines,
    }
    sns.heatmap(pd.DataFrame(number), cmap=colours, mask=np.isnan(number), ax=axes, **options)
    axes.grid(visible=False)
    axes.tick_params(axis="y", rotation=0)
    for (line, column), names in fields.items():
        _name(axes, list(columns).index(column) + 0.5, lines.index(line) + 0.5, names)


def best(rows: Sequence[Row]) -> list[str]:
    """Labels of the fastest row and of those that are not told to be slower, the fastest first."""
    rows = sorted(rows, key=lambda row: row["latency_ms"])
    facts = list(map(timing, rows))
    return [row["label"] for row, fact in zip(rows, facts) if comparison.verdict_of(fact, facts[0]) != "slower"]


def _index(names: Sequence[str] | None, winners: Sequence[str]) -> float:
    return np.nan if names is None else winners.index(names[0])


def _name(axes: Axes, x: float, y: float, names: Sequence[str]) -> None:
    """The winner in bold and those beside it below, in white or black, whichever is seen better."""
    colour = "black" if style.luma(style.of(names[0]).colour) > 110 else "white"
    beside = [*names[1:NAMES], *([f"and {len(names) - NAMES} more"] if len(names) > NAMES else [])]
    options: dict[str, Any] = {"ha": "center", "color": colour, "linespacing": 1.05}
    axes.text(x, y - 0.04 if beside else y, names[0], va="bottom" if beside else "center", fontsize=8.5, weight="bold", **options)
    axes.text(x, y, "\n".join(beside), va="top", fontsize=7, **options)
