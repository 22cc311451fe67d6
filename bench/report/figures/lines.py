"""Lines of methods over an axis, in as many panels as it takes to tell them apart, each with a legend beside it."""

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

ROW = 2.7  # inches of one panel
ONE = 4.5  # of a figure with one


def stacked(points: pd.DataFrame, describe: Callable[[str], str], title: str) -> tuple[Figure, np.ndarray]:
    """A panel a group of methods, one below the other on the same axes, (panels,), the methods of the others in grey.

    `points` has the columns label, x, y, lo and hi, the last two NaN where there is no interval, and lines join them in their
    order; `describe` gives a method's text in the legend, `title` what stands above it.
    """
    last = points.sort_values(["x", "y"], ascending=False).drop_duplicates("label")
    groups = panels(last["label"])
    figure, grid = canvas(len(groups), 1, ROW * len(groups) if len(groups) > 1 else ONE, sharex=True, sharey=True)
    for axes, (name, labels) in zip(grid[:, 0], groups.items()):
        for _, other in points[~points["label"].isin(labels)].groupby("label"):
            axes.plot(other["x"], other["y"], color=GREY, linewidth=1, zorder=1)
        draw(axes, points[points["label"].isin(labels)])
        axes.set_title(name)
        legend(axes, [handle(style.of(label), describe(label)) for label in labels], title)
    return figure, grid[:, 0]


def draw(axes: Axes, points: pd.DataFrame) -> None:
    """The methods' lines in their looks, with bars from lo to hi; columns as in `stacked`."""
    looks = {label: style.of(label) for label in points["label"].unique()}
    sns.lineplot(
        points,
        x="x",
        y="y",
        hue="label",
        style="label",
        palette={label: look.colour for label, look in looks.items()},
        markers={label: look.marker for label, look in looks.items()},
        dashes={label: look.dash or "" for label, look in looks.items()},
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
        axes.vlines(known["x"], known["lo"], known["hi"], color=looks[str(label)].colour, linewidth=1.2, zorder=2)
    axes.set(xlabel="", ylabel="")
