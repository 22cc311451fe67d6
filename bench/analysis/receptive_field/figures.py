"""Figures of effective receptive fields: maps before and after training, and the share of the gradient in growing squares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from bench.analysis.epochs import joined
from bench.analysis.network import Network
from bench.analysis.receptive_field.gradient import OutputPixel
from bench.analysis.receptive_field.squares import Curve
from bench.report import style
from bench.report.figures.canvas import below, canvas, handle, legend, theme
from bench.report.style import Style
from bench.spec import ORIGINAL, Cell

DECADES = 4  # range of the colour scale of the maps
NETWORKS_PER_ROW = 3  # in the figure of maps
NETWORKS_PER_FIGURE = 12


@dataclass
class Field:
    """The effective receptive field of one network; `detail` is the reason if `status` is not ok."""

    network: Network
    trained: bool
    status: str
    detail: str
    scores: np.ndarray | None = None  # (H, W)
    pixel: OutputPixel | None = None
    curve: Curve | None = None
    limit: str = ""  # HxW of the theoretical receptive field, or "whole" for the whole image; empty if unknown

    @property
    def state(self) -> str:
        return "trained" if self.trained else "untrained"


@dataclass
class Comparison:
    """A network untrained, from several seeds, and trained."""

    suffix: str  # of the title; empty if the label is unique and the training finished
    network: Network
    data: str
    images: int
    untrained: list[Field] = field(default_factory=list)
    trained: list[Field] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The label of the network and the suffix."""
        return joined(self.network.label, self.suffix)

    @property
    def fields(self) -> list[Field]:
        return self.untrained + self.trained

    def states(self) -> Iterator[tuple[str, list[Field]]]:
        """Yield the successful measurements of the untrained and of the trained state; a state without any is left out."""
        for fields in (self.untrained, self.trained):
            if measured := [result for result in fields if result.status == "ok"]:
                yield measured[0].state, measured


def draw(comparisons: Sequence[Comparison]) -> dict[str, Figure]:
    """Draw maps and curves, `NETWORKS_PER_FIGURE` networks per figure. Return no figure if every measurement failed."""
    measured = [comparison for comparison in comparisons if any(comparison.states())]
    figures: dict[str, Figure] = {}
    with theme():
        for number in range(-(-len(measured) // NETWORKS_PER_FIGURE)):
            selected = measured[number * NETWORKS_PER_FIGURE : (number + 1) * NETWORKS_PER_FIGURE]
            end = f"-{number + 1}" if len(measured) > NETWORKS_PER_FIGURE else ""
            figures |= {f"maps{end}": draw_maps(selected), f"curves{end}": draw_curves(selected)}
    return figures


def draw_maps(comparisons: Sequence[Comparison]) -> Figure:
    """Draw the share of the gradient per pixel before and after training, mean over seeds, on one logarithmic scale."""
    states = max(len(list(comparison.states())) for comparison in comparisons)
    columns = min(NETWORKS_PER_ROW if states > 1 else 2 * NETWORKS_PER_ROW, len(comparisons))
    rows = -(-len(comparisons) // columns)
    names, common = panel_names(comparisons)
    figure, axes = canvas(rows, columns * states, 1.2 + rows * (8 / max(columns * states, 3) + 0.25 + 0.15 * names[0].count("\n")))
    figure.suptitle(common, fontsize=10, x=0.01, ha="left")
    means = [[(state, mean_share(fields)) for state, fields in comparison.states()] for comparison in comparisons]
    most = max(float(share.max()) for shares in means for _, share in shares)
    norm = LogNorm(most / 10**DECADES, most, clip=True)
    for panel in axes.flat:
        panel.set_axis_off()
    for index, shares in enumerate(means):
        row, column = divmod(index, columns)
        for offset, (state, share) in enumerate(shares):
            image = draw_map(axes[row, column * states + offset], share, norm, state)
        axes[row, column * states].set_title(f"{names[index]}\n{shares[0][0]}", fontsize=8)
    bar = figure.colorbar(image, ax=list(axes.flat), orientation="horizontal", shrink=0.5, aspect=40, extend="min")
    bar.set_label("share of |gradient| per pixel", fontsize=9)
    return figure


def draw_map(panel: Axes, share: np.ndarray, norm: LogNorm, title: str) -> AxesImage:
    """Draw one map in its panel and return the image."""
    panel.set_axis_on()
    panel.set(xticks=[], yticks=[])
    panel.grid(False)
    panel.set_title(title, fontsize=8)
    return panel.imshow(share, cmap="magma", norm=norm, interpolation="nearest")


def mean_share(fields: Sequence[Field]) -> np.ndarray:
    """Return the mean over seeds of the scores, each normalised to a sum of 1: (H, W)."""
    return np.mean([field.scores / field.scores.sum() for field in fields if field.scores is not None], axis=0)


def draw_curves(comparisons: Sequence[Comparison]) -> Figure:
    """Draw the share of the gradient against the side of the square, one panel per state, with the deviation over seeds."""
    states = list(dict.fromkeys(state for comparison in comparisons for state, _ in comparison.states()))
    figure, axes = canvas(1, len(states), 4.2, sharey=True)
    (names, common), styles = panel_names(comparisons), styles_of(comparisons)
    for comparison, line in zip(comparisons, styles):
        for state, fields in comparison.states():
            draw_curve(axes[0, states.index(state)], fields, line)
    for state, panel in zip(states, axes[0]):
        panel.set(title=state, xlabel="side of the square / side of the image", ylim=(0, 1.02), xlim=(0, None))
    axes[0, 0].set_ylabel("share of |gradient| in the square")
    figure.suptitle(common, fontsize=10, x=0.01, ha="left")
    legend(axes[0, -1], [handle(line, name) for line, name in zip(styles, names)])
    below(figure, "Bands: standard deviation over seeds.")
    return figure


def draw_curve(panel: Axes, fields: Sequence[Field], line: Style) -> None:
    """Draw the mean and the standard deviation over seeds of one network's share against the side."""
    curves = [field.curve for field in fields if field.curve is not None]
    sides, mass = curves[0].side / fields[0].network.size[0], np.array([curve.mass for curve in curves])
    dash = (0, line.dash) if line.dash else "-"
    panel.plot(sides, mass.mean(0), color=line.colour, linestyle=dash, marker=line.marker, markevery=0.15, markersize=4.5)
    if len(mass) > 1:
        spread = mass.std(0, ddof=1)
        panel.fill_between(sides, mass.mean(0) - spread, mass.mean(0) + spread, color=line.colour, alpha=0.15, linewidth=0)


def styles_of(comparisons: Sequence[Comparison]) -> list[Style]:
    """Return the style of each method, as in every figure; of the network or of the whole title if methods repeat."""
    cells = [comparison.network.cell for comparison in comparisons]
    methods, labels = [method_and_host(cell)[0] for cell in cells], [cell.label for cell in cells]
    titles = [f"{label} ({comparison.title})" for label, comparison in zip(labels, comparisons)]
    distinct = next((names for names in (methods, labels) if len(set(names)) == len(names)), titles)
    return [style.of(style.styled_name(cell.method, cell.network), name) for cell, name in zip(cells, distinct)]


def method_and_host(cell: Cell) -> tuple[str, str]:
    """Return the operator with its options and the network that it is in; the network and "" if it is as published."""
    return (cell.label, "") if cell.method == ORIGINAL else (cell.operator, cell.network)


def panel_names(comparisons: Sequence[Comparison]) -> tuple[list[str], str]:
    """Return a name per network, of the properties in which the networks differ, one per line, and the common properties."""
    parts = [
        (method, host, comparison.data, "x".join(map(str, comparison.network.size)) + " px", comparison.suffix)
        for comparison in comparisons
        for method, host in [method_and_host(comparison.network.cell)]
    ]
    common = [len(set(column)) == 1 for column in zip(*parts)]
    common[0] = False  # always name the method
    names = ["\n".join(part for part, alike in zip(properties, common) if part and not alike) for properties in parts]
    return names, ", ".join(part for part, alike in zip(parts[0], common) if part and alike)
