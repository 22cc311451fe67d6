"""Pictures of kernel fitting: errors by network, the fitted kernels, the loss over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.analysis.fitting.targets import BOUND, TARGETS
from bench.report.figures.canvas import canvas, logarithmic, theme
from bench.report.style import FAMILIES, OTHERS

COLOURS = {  # by the first word of a network's name
    "magnet": FAMILIES["flexconv"],
    "gabor": FAMILIES["afno"],
    "fourier": FAMILIES["global_filter"],
    "siren": FAMILIES["shared_basis"],
    "niff": FAMILIES["niff"],
    "weights": FAMILIES["dwconv"],
}
ERRORS = (1e-12, 1e-9, 1e-6, 1e-3, 1)  # that axes name
LOWEST = 1e-12  # errors below are drawn there: they are rounding
Dash = Literal["-", "--", ":", "-."]
Kernels = Mapping[tuple[str, float, str], np.ndarray]  # (net, learning rate, target): (33, 33)


def draw(table: pd.DataFrame, curves: pd.DataFrame, kernels: Kernels) -> dict[str, Figure]:
    with theme():
        return {"errors": errors(table), "kernels": mosaic(table, kernels), "losses": losses(table, curves)}


def errors(table: pd.DataFrame) -> Figure:
    """A panel a target: each network's errors, a dot and a bar a seed, the published one hollow, the best constant as a line."""
    names, targets = _names(table), list(dict.fromkeys(table["target"]))
    figure, panels = _panels(len(targets), 0.8 + 0.21 * len(names), sharex=True, sharey=True)
    for axes, target in zip(panels, targets):
        rows = table[table["target"] == target]
        for place, name in enumerate(names):
            ours = rows[_label(rows) == name]
            ran = ours[["mse", "mse_best"]].dropna().clip(lower=LOWEST)
            axes.plot(ran["mse"], [place] * len(ran), "|", color=_colour(name), markersize=9)
            axes.plot(ran["mse_best"], [place] * len(ran), "o", color=_colour(name), markersize=5)
            if not len(ran):
                axes.text(LOWEST * 2, place, "error", fontsize=8, va="center")
            axes.plot(ours["published_mse"].iloc[:1], [place], "D", color="black", fillstyle="none", markersize=6)
        axes.axvline(rows["target_variance"].iloc[0], color="#808080", linestyle="--", linewidth=1)
        logarithmic(axes.xaxis, ERRORS)
        axes.set(title=target, xlim=(LOWEST / 4, 3), yticks=range(len(names)), yticklabels=names, xlabel="mean squared error")
        axes.label_outer()
    panels[0].invert_yaxis()
    _legend(figure, [
        Line2D([], [], marker="o", linestyle="", color="#404040", label=f"best step (below {LOWEST:g} drawn there)"),
        Line2D([], [], marker="|", linestyle="", color="#404040", markersize=9, label="last step"),
        Line2D([], [], marker="D", linestyle="", color="black", fillstyle="none", label=f"published ({BOUND:g}: printed as 0)"),
        Line2D([], [], color="#808080", linestyle="--", label="the best constant"),
    ])  # fmt: skip
    return figure


def mosaic(table: pd.DataFrame, kernels: Kernels) -> Figure:
    """Targets in the first row, below what each network of the first seed gave, in the colours of its target."""
    targets = list(dict.fromkeys(table["target"]))
    nets = list(dict.fromkeys((net, lr) for net, lr, _ in kernels))
    figure, axes = canvas(len(nets) + 1, len(targets), height=0.5 + 1.0 * (len(nets) + 1))
    for place, target in enumerate(targets):
        wanted = TARGETS[target]().numpy()
        limit = max(abs(wanted.min()), abs(wanted.max()))
        images = [wanted, *(kernels[net, lr, target] for net, lr in nets)]
        for one, image in zip(axes[:, place], images):
            one.imshow(np.nan_to_num(image), cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
            one.set(xticks=[], yticks=[])
        axes[0, place].set_title(target)
    names = dict.fromkeys(_label(table))
    for one, name in zip(axes[:, 0], ("target", *names)):
        one.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8.5)
    return figure


def losses(table: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """A panel a target: the loss of the first seed over steps."""
    names, targets = _names(table), list(dict.fromkeys(table["target"]))
    figure, panels = _panels(len(targets), 2.4, sharex=True, sharey=True)
    labelled = curves[curves["seed"] == 0].assign(label=_label(curves))
    for axes, target in zip(panels, targets):
        for name in names:
            line = labelled[(labelled["target"] == target) & (labelled["label"] == name)]
            axes.plot(line["step"] + 1, line["mse"].clip(lower=LOWEST), color=_colour(name), linestyle=_dash(name), linewidth=1.1)
        logarithmic(axes.xaxis)
        logarithmic(axes.yaxis, ERRORS)
        axes.set(title=target, ylim=(LOWEST / 2, 10), xlabel="steps + 1", ylabel="mean squared error")
        axes.label_outer()
    _legend(figure, [Line2D([], [], color=_colour(name), linestyle=_dash(name), label=name) for name in names])
    return figure


def _panels(count: int, height: float, **options: Any) -> tuple[Figure, Sequence[Axes]]:
    """Panels of that height in rows of three, none left empty."""
    columns = min(count, 3)
    rows = -(-count // columns)
    figure, axes = canvas(rows, columns, height=rows * height + 1.2, **options)
    for unused in axes.flat[count:]:
        unused.remove()
    return figure, list(axes.flat[:count])


def _label(table: pd.DataFrame) -> pd.Series:
    """The net, with its learning rate where that is not the one of all."""
    rates = table["lr"].map(lambda lr: "" if lr == 0.01 else f", lr {lr:g}")
    return table["net"] + rates


def _names(table: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(_label(table)))


def _colour(name: str) -> str:
    return COLOURS.get(name.partition("_")[0], OTHERS[0])


def _dash(name: str) -> Dash:
    """By size, and by learning rate."""
    other_rate = ", lr" in name
    return ("-." if other_rate else ":") if "_small" in name else ("--" if other_rate else "-")


def _legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    figure.legend(handles=list(handles), loc="outside lower center", ncols=min(len(handles), 4), fontsize=8.5)
