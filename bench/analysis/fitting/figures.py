"""Figures of kernel fitting: error per network, fitted kernels, loss over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.analysis.fitting.nets import NETS, Net
from bench.analysis.fitting.targets import PUBLISHED_ZERO, TARGETS
from bench.report.figures.canvas import canvas, logarithmic, theme
from bench.report.style import FAMILIES, OTHERS

ERROR_TICKS = (1e-12, 1e-9, 1e-6, 1e-3, 1)
DEFAULT_RATE = 0.01
LOWEST = 1e-12  # smaller errors are drawn here: they are rounding
Dash = Literal["-", "--", ":", "-."]
Kernels = Mapping[tuple[str, float, str], np.ndarray]  # (net, learning rate, target): (33, 33)


def draw(table: pd.DataFrame, curves: pd.DataFrame, kernels: Kernels) -> dict[str, Figure]:
    """Draw the errors, the kernels of seed 0 and the losses of seed 0."""
    with theme():
        return {"errors": draw_errors(table), "kernels": draw_kernels(table, kernels), "losses": draw_losses(table, curves)}


def draw_errors(table: pd.DataFrame) -> Figure:
    """Draw one panel per target: best (dot) and last (bar) error per seed, published error (hollow), best constant (line)."""
    lines, targets = _lines(table), list(dict.fromkeys(table["target"]))
    figure, panels = _panels(len(targets), 0.8 + 0.21 * len(lines), sharex=True, sharey=True)
    for axes, target in zip(panels, targets):
        rows = table[table["target"] == target]
        for y, (label, (colour, _)) in enumerate(lines.items()):
            fits = rows[_label(rows) == label]
            finite = fits[["mse", "mse_best"]].dropna().clip(lower=LOWEST)
            axes.plot(finite["mse"], [y] * len(finite), "|", color=colour, markersize=9)
            axes.plot(finite["mse_best"], [y] * len(finite), "o", color=colour, markersize=5)
            if not len(finite):
                axes.text(LOWEST * 2, y, "error", fontsize=8, va="center")
            axes.plot(fits["published_mse"].iloc[:1], [y], "D", color="black", fillstyle="none", markersize=6)
        axes.axvline(rows["target_variance"].iloc[0], color="#808080", linestyle="--", linewidth=1)
        logarithmic(axes.xaxis, ERROR_TICKS)
        axes.set(title=target, xlim=(LOWEST / 4, 3), yticks=range(len(lines)), yticklabels=list(lines), xlabel="mean squared error")
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
    lines, targets = _lines(table), list(dict.fromkeys(table["target"]))
    figure, panels = _panels(len(targets), 2.4, sharex=True, sharey=True)
    labelled = curves[curves["seed"] == 0].assign(label=_label(curves))
    for axes, target in zip(panels, targets):
        for label, (colour, dash) in lines.items():
            fit = labelled[(labelled["target"] == target) & (labelled["label"] == label)]
            axes.plot(fit["step"] + 1, fit["mse"].clip(lower=LOWEST), color=colour, linestyle=dash, linewidth=1.1)
        logarithmic(axes.xaxis)
        logarithmic(axes.yaxis, ERROR_TICKS)
        axes.set(title=target, ylim=(LOWEST / 2, 10), xlabel="steps + 1", ylabel="mean squared error")
        axes.label_outer()
    _legend(figure, [Line2D([], [], color=colour, linestyle=dash, label=label) for label, (colour, dash) in lines.items()])
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
    """Return the net, with its learning rate if that is not the default."""
    rates = table["lr"].map(lambda lr: "" if lr == DEFAULT_RATE else f", lr {lr:g}")
    return table["net"] + rates


def _lines(table: pd.DataFrame) -> dict[str, tuple[str, Dash]]:
    """Return colour and line style by label."""
    return {label: _style(NETS[net], lr) for label, net, lr in zip(_label(table), table["net"], table["lr"])}


def _style(net: Net, lr: float) -> tuple[str, Dash]:
    """Return colour and line style: dotted for small networks, dashed or dash-dotted for another learning rate."""
    default = lr == DEFAULT_RATE
    dash: Dash = (":" if default else "-.") if net.small else ("-" if default else "--")
    return FAMILIES.get(net.family, OTHERS[0]), dash


def _legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    figure.legend(handles=list(handles), loc="outside lower center", ncols=min(len(handles), 4), fontsize=8.5)
