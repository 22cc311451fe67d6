"""Line plots of methods, split into panels so that the lines are distinguishable, each with a legend."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report import style
from bench.report.figures.canvas import GREY, canvas, handle, legend
from bench.report.figures.frames import panels

PANEL_HEIGHT = 2.7  # inches
SINGLE_HEIGHT = 4.5  # inches, of a figure with one panel


def stacked(points: pd.DataFrame, describe: Callable[[str], str], title: str) -> tuple[Figure, np.ndarray]:
    """Draw one panel per group of methods, stacked on common axes, with the methods of other groups in grey.

    `points` has the columns label, name (see `frames.complete`), x, y, lo and hi (NaN without an interval); lines connect the
    points of a label in their order. `describe` returns the legend text of a label, `title` is the title of the legends.
    Returns the figure and its axes, (panels,).
    """
    last = points.sort_values(["x", "y"], ascending=False).drop_duplicates("label")
    names = dict(zip(last["label"], last["name"]))
    groups = panels(names)
    figure, grid = canvas(
        len(groups), 1, PANEL_HEIGHT * len(groups) if len(groups) > 1 else SINGLE_HEIGHT, sharex=True, sharey=True
    )
    for axes, (heading, labels) in zip(grid[:, 0], groups.items()):
        for _, other in points[~points["label"].isin(labels)].groupby("label"):
            axes.plot(other["x"], other["y"], color=GREY, linewidth=1, zorder=1)
        draw(axes, points[points["label"].isin(labels)])
        axes.set_title(heading)
        legend(axes, [handle(style.of(names[label], label), describe(label)) for label in labels], title)
    return figure, grid[:, 0]


def draw(axes: Axes, points: pd.DataFrame) -> None:
    """Draw the lines of the methods in their styles, with error bars from lo to hi; columns as in `stacked`."""
    styles = {label: style.of(name, label) for label, name in zip(points["label"], points["name"])}
    sns.lineplot(
        points,
        x="x",
        y="y",
        hue="label",
        style="label",
        palette={label: line_style.colour for label, line_style in styles.items()},
        markers={label: line_style.marker for label, line_style in styles.items()},
        dashes={label: line_style.dash or "" for label, line_style in styles.items()},
        errorbar=None,
        estimator=None,
        sort=False,
        markersize=6.5,
        markeredgewidth=0.5,
        legend=False,
        ax=axes,
        zorder=2,
    )
    for label, known in points.dropna(subset=["lo", "hi"]).groupby("label"):
        axes.vlines(known["x"], known["lo"], known["hi"], color=styles[str(label)].colour, linewidth=1.2, zorder=2)
    axes.set(xlabel="", ylabel="")
