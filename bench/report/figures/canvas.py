"""Common layout of all figures: 8 inches (800 px) wide, one theme, reproducible files."""

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

from bench.report import manifest
from bench.report.style import Style

Drawing = tuple[manifest.Figure, Figure]  # the entry of the list of figures, and the figure itself
WIDTH = 8.0  # inches
DPI = 100  # of the PNG
LINE = 112  # characters per line of a note
GREY = "#d4d4d4"
SALT = "large-kernel-bench"  # makes the ids in an SVG reproducible
OVERRIDES = {
    "text.parse_math": False,  # names may contain dollar signs
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
    """Apply seaborn's white grid with fonts legible at 800 px, and restore the previous settings on exit."""
    rc = {**sns.axes_style("whitegrid"), **sns.plotting_context("paper", font_scale=1.1), **OVERRIDES}
    with mpl.rc_context(rc), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")  # such glyphs are drawn as boxes
        yield


def canvas(rows: int = 1, columns: int = 1, height: float = 4.5, **options: Any) -> tuple[Figure, np.ndarray]:
    """Return a figure of a height in inches and its axes, (rows, columns); `options` are those of `Figure.subplots`."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write NAME.svg and NAME.png into the folder, creating it if necessary. Return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.svg", folder / f"{name}.png"]
    figure.savefig(paths[1], metadata={"Software": None})
    figure.set_layout_engine("none")  # reuse the layout of the PNG, which takes half of the time
    with mpl.rc_context({"svg.hashsalt": SALT}):
        figure.savefig(paths[0], metadata={"Date": None})
    return paths


def handle(style: Style, label: str, line: bool = True) -> Line2D:
    """Return the legend entry of a method."""
    label = f" {label}" if label.startswith("_") else label  # matplotlib hides labels that start with an underscore
    entry = Line2D([], [], color=style.colour, marker=style.marker, linestyle="-" if line else "none", label=label)
    if line and style.dash:
        entry.set_dashes(style.dash)
    return entry


def legend(axes: Axes, handles: Sequence[Line2D], title: str = "") -> None:
    """Add a legend to the right of the axes."""
    box = axes.legend(
        handles=handles, title=title, loc="center left", bbox_to_anchor=(1.01, 0.5), borderaxespad=0, handlelength=3.2
    )
    box.set_alignment("left")


def below(figure: Figure, text: str) -> None:
    """Add a wrapped note below the figure, unless it is empty."""
    if text:
        figure.supxlabel(fill(text, LINE), x=0.01, ha="left", fontsize=8, color="#404040")


def logarithmic(axis: Axis, values: Sequence[float] = ()) -> None:
    """Set a logarithmic scale with ticks at `values`, else at 1, 2 and 5 of each decade, or only at 1 on a long axis."""
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
    """Return a tick formatter without exponents."""
    return lambda value, _: f"{value:,.0f}" if value >= 1000 else f"{value:g}"
