"""Figures of kernel fitting: error per network, fitted kernels, loss over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.analysis.fitting.targets import PUBLISHED_ZERO, TARGETS
from bench.report.figures.canvas import canvas, logarithmic, theme
from bench.report.style import FAMILIES, OTHERS

COLOURS = {  # by the part of a network's name before "_"
    "magnet": FAMILIES["flexconv"],
    "gabor": FAMILIES["afno"],
    "fourier": FAMILIES["global_filter"],
    "siren": FAMILIES["shared_basis"],
    "niff": FAMILIES["niff"],
    "weights": FAMILIES["dwconv"],
}
ERROR_TICKS = (1e-12, 1e-9, 1e-6, 1e-3, 1)
LOWEST = 1e-12  # smaller errors are drawn here: they are rounding
Dash = Literal["-", "--", ":", "-."]
Kernels = Mapping[tuple[str, float, str], np.ndarray]  # (net, learning rate, target): (33, 33)


def draw(table: pd.DataFrame, curves: pd.DataFrame, kernels: Kernels) -> dict[str, Figure]:
    """Draw the errors, the kernels of seed 0 and the losses of seed 0."""
    with theme():
        return {"errors": draw_errors(table), "kernels": draw_kernels(table, kernels), "losses": draw_losses(table, curves)}


def draw_errors(table: pd.DataFrame) -> Figure:
    """Draw one panel per target: best (dot) and last (bar) error per seed, published error (hollow), best constant (line)."""
    names, targets = _names(table), list(dict.fromkeys(table["target"]))
    figure, panels = _panels(len(targets), 0.8 + 0.21 * len(names), sharex=True, sharey=True)
    for axes, target in zip(panels, targets):
        rows = table[table["target"] == target]
        for y, name in enumerate(names):
            fits = rows[_label(rows) == name]
            finite = fits[["mse", "mse_best"]].dropna().clip(lower=LOWEST)
            axes.plot(finite["mse"], [y] * len(finite), "|", color=_colour(name), markersize=9)
            axes.plot(finite["mse_best"], [y] * len(finite), "o", color=_colour(name), markersize=5)
            if not len(finite):
                axes.text(LOWEST * 2, y, "error", fontsize=8, va="center")
            axes.plot(fits["published_mse"].iloc[:1], [y], "D", color="black", fillstyle="none", markersize=6)
        axes.axvline(rows["target_variance"].iloc[0], color="#808080", linestyle="--", linewidth=1)
        logarithmic(axes.xaxis, ERROR_TICKS)
        axes.set(title=target, xlim=(LOWEST / 4, 3), yticks=range(len(names)), yticklabels=names, xlabel="mean squared error")
        axes.label_outer()
    panels[0].invert_yaxis()
    published = f"published ({PUBLISHED_ZERO:g}: printed as 0)"
    _legend(figure, [
        Line2D([], [], marker="o", linestyle="", color="#404040", label=f"best step (clipped at {LOWEST:g})"),
        Line2D([], [], marker="|", linestyle="", color="#404040", markersize=9, label="last step"),
        Line2D([], [], marker="D", linestyle="", color="black", fillstyle="none", label=published),
        Line2D([], [], color="#808080", linestyle="--", label="best constant"),
    ])  # fmt: skip
    return figure


def draw_kernels(table: pd.DataFrame, kernels: Kernels) -> Figure:
    """Draw the targets in the first row and the fitted kernels of seed 0 below, on the colour scale of their target."""
    targets = list(dict.fromkeys(table["target"]))
    nets = list(dict.fromkeys((net, lr) for net, lr, _ in kernels))
    figure, axes = canvas(len(nets) + 1, len(targets), height=0.5 + 1.0 * (len(nets) + 1))
    for column, target in enumerate(targets):
        values = TARGETS[target]().numpy()
        limit = max(abs(values.min()), abs(values.max()))
        images = [values, *(kernels[net, lr, target] for net, lr in nets)]
        for panel, image in zip(axes[:, column], images):
            panel.imshow(np.nan_to_num(image), cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
            panel.set(xticks=[], yticks=[])
        axes[0, column].set_title(target)
    names = dict.fromkeys(_label(table))
    for panel, name in zip(axes[:, 0], ("target", *names)):
        panel.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8.5)
    return figure


def draw_losses(table: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Draw one panel per target: the loss of seed 0 over steps."""
    names, targets = _names(table), list(dict.fromkeys(table["target"]))
    figure, panels = _panels(len(targets), 2.4, sharex=True, sharey=True)
    labelled = curves[curves["seed"] == 0].assign(label=_label(curves))
    for axes, target in zip(panels, targets):
        for name in names:
            line = labelled[(labelled["target"] == target) & (labelled["label"] == name)]
            axes.plot(line["step"] + 1, line["mse"].clip(lower=LOWEST), color=_colour(name), linestyle=_dash(name), linewidth=1.1)
        logarithmic(axes.xaxis)
        logarithmic(axes.yaxis, ERROR_TICKS)
        axes.set(title=target, ylim=(LOWEST / 2, 10), xlabel="steps + 1", ylabel="mean squared error")
        axes.label_outer()
    _legend(figure, [Line2D([], [], color=_colour(name), linestyle=_dash(name), label=name) for name in names])
    return figure


def _panels(count: int, height: float, **options: Any) -> tuple[Figure, Sequence[Axes]]:
    """Return panels of this height in rows of three, without empty ones."""
    columns = min(count, 3)
    rows = -(-count // columns)
    figure, axes = canvas(rows, columns, height=rows * height + 1.2, **options)
    for unused in axes.flat[count:]:
        unused.remove()
    return figure, list(axes.flat[:count])


def _label(table: pd.DataFrame) -> pd.Series:
    """Return the net, with its learning rate if that is not the default 0.01."""
    rates = table["lr"].map(lambda lr: "" if lr == 0.01 else f", lr {lr:g}")
    return table["net"] + rates


def _names(table: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(_label(table)))


def _colour(name: str) -> str:
    return COLOURS.get(name.partition("_")[0], OTHERS[0])


def _dash(name: str) -> Dash:
    """Return the line style: dotted for small networks, dashed or dash-dotted for another learning rate."""
    other_rate = ", lr" in name
    return ("-." if other_rate else ":") if "_small" in name else ("--" if other_rate else "-")


def _legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    figure.legend(handles=list(handles), loc="outside lower center", ncols=min(len(handles), 4), fontsize=8.5)
