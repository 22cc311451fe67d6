"""What every figure has in common: 8 inches, or 800 px, one theme, and the same files from the same data."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from bench.report.style import Style

WIDTH = 8.0  # inches
DPI = 100  # of the PNG; who wants it sharper has the SVG
LINE = 112  # letters of a note in one line
GREY = "#d4d4d4"
SALT = "large-kernel-bench"  # else the ids in an SVG differ from one run to the next
OWN = {
    "text.parse_math": False,  # a dollar sign in a name is one
    "figure.constrained_layout.use": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "legend.fontsize": 8.5,
    "legend.title_fontsize": 8.5,
    "legend.frameon": False,
    "grid.color": "#e6e6e6",
}


@contextmanager
def theme() -> Iterator[None]:
    """Seaborn's white grid with type that is read at 800 px; what was set before comes back afterwards."""
    rc = {**sns.axes_style("whitegrid"), **sns.plotting_context("paper", font_scale=1.1), **OWN}
    with mpl.rc_context(rc), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")  # boxes stand for scripts that the font lacks
        yield


def canvas(rows: int = 1, columns: int = 1, height: float = 4.5, **options: Any) -> tuple[Figure, np.ndarray]:
    """A figure of that height in inches and its axes, (rows, columns); `options` are those of `Figure.subplots`."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write NAME.svg and NAME.png into the folder, which is made; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.svg", folder / f"{name}.png"]
    figure.savefig(paths[1], metadata={"Software": None})
    figure.set_layout_engine("none")  # what the first has laid out, half of the time, stays
    with mpl.rc_context({"svg.hashsalt": SALT}):
        figure.savefig(paths[0], metadata={"Date": None})
    return paths


def handle(look: Style, label: str, line: bool = True) -> Line2D:
    """The entry of a method in a legend."""
    label = f" {label}" if label.startswith("_") else label  # which would hide the entry
    entry = Line2D([], [], color=look.colour, marker=look.marker, linestyle="-" if line else "none", label=label)
    if line and look.dash:
        entry.set_dashes(look.dash)
    return entry


def legend(axes: Axes, handles: Sequence[Line2D], title: str = "") -> None:
    """A legend to the right of the axes, where it covers no data."""
    box = axes.legend(
        handles=handles, title=title, loc="center left", bbox_to_anchor=(1.01, 0.5), borderaxespad=0, handlelength=3.2
    )
    box.set_alignment("left")


def below(figure: Figure, text: str) -> None:
    """A note under the figure, wrapped; nothing for an empty one."""
    if text:
        figure.supxlabel(fill(text, LINE), x=0.01, ha="left", fontsize=8, color="#404040")


def logarithmic(axis: Axis, values: Sequence[float] = ()) -> None:
    """A logarithmic scale with plain numbers: at these values, else at 1, 2 and 5 of each decade, or at 1 where there are many."""
    axes = axis.axes
    (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
    if len(values):
        axis.set_ticks(list(values), labels=[f"{value:g}" for value in values])
        axis.set_minor_locator(NullLocator())
        return
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 200 else (1,)))
    axis.set_major_formatter(FuncFormatter(plain()))
    axis.set_minor_formatter(NullFormatter())


def plain() -> Callable[[float, Any], str]:
    return lambda value, _: f"{value:,.0f}" if value >= 1000 else f"{value:g}"
