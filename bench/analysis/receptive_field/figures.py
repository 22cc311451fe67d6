"""Pictures of effective receptive fields: maps before and after training, and the share of the gradient in growing squares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from bench.analysis.network import Network
from bench.analysis.receptive_field.gradient import Middle
from bench.analysis.receptive_field.squares import Curve
from bench.report import style
from bench.report.figures.canvas import below, canvas, handle, legend, theme
from bench.report.style import Style

DECADES = 4  # that the maps' colours span
PAIRS = 3  # networks side by side in the picture of maps
CROWD = 12  # networks in one picture


@dataclass
class Field:
    """What one network's output depends on; unless `status` is ok `detail` says why that is not known."""

    specimen: Network
    trained: bool
    status: str
    detail: str
    scores: np.ndarray | None = None  # (H, W)
    middle: Middle | None = None
    curve: Curve | None = None
    limit: str = ""  # HxW of the theoretical receptive field, or that it is the whole image; empty: unknown

    @property
    def state(self) -> str:
        return "trained" if self.trained else "untrained"


@dataclass
class Subject:
    """A network untrained, from several seeds, and trained."""

    title: str  # the specimen's label, and what tells it from others of that label
    specimen: Network
    data: str
    images: int
    untrained: list[Field] = field(default_factory=list)
    trained: list[Field] = field(default_factory=list)

    @property
    def besides(self) -> str:
        """The title behind the label."""
        return self.title.removeprefix(self.specimen.label).removeprefix(", ")

    @property
    def fields(self) -> list[Field]:
        return self.untrained + self.trained

    def states(self) -> Iterator[tuple[str, list[Field]]]:
        """Untrained and trained, as far as there is something to show."""
        for fields in (self.untrained, self.trained):
            if shown := [one for one in fields if one.status == "ok"]:
                yield shown[0].state, shown


def draw(found: Sequence[Subject]) -> dict[str, Figure]:
    """Maps and curves, `CROWD` networks to a picture; none where nothing could be measured."""
    shown = [subject for subject in found if any(subject.states())]
    figures: dict[str, Figure] = {}
    with theme():
        for number in range(-(-len(shown) // CROWD)):
            part = shown[number * CROWD : (number + 1) * CROWD]
            end = f"-{number + 1}" if len(shown) > CROWD else ""
            figures |= {f"maps{end}": maps(part), f"curves{end}": curves(part)}
    return figures


def maps(found: Sequence[Subject]) -> Figure:
    """Share of the gradient by pixel, before and after training, on one logarithmic scale; means over seeds."""
    states = max(len(list(subject.states())) for subject in found)
    pairs = min(PAIRS if states > 1 else 2 * PAIRS, len(found))
    rows = -(-len(found) // pairs)
    names, common = names_of(found)
    figure, axes = canvas(rows, pairs * states, 1.2 + rows * (8 / max(pairs * states, 3) + 0.25 + 0.15 * names[0].count("\n")))
    figure.suptitle(common, fontsize=10, x=0.01, ha="left")
    means = [[(state, mean(fields)) for state, fields in subject.states()] for subject in found]
    most = max(float(share.max()) for both in means for _, share in both)
    norm = LogNorm(most / 10**DECADES, most, clip=True)
    for panel in axes.flat:
        panel.set_axis_off()
    for index, both in enumerate(means):
        row, column = divmod(index, pairs)
        for place, (state, share) in enumerate(both):
            picture = panel_of(axes[row, column * states + place], share, norm, state)
        axes[row, column * states].set_title(f"{names[index]}\n{both[0][0]}", fontsize=8)
    bar = figure.colorbar(picture, ax=list(axes.flat), orientation="horizontal", shrink=0.5, aspect=40, extend="min")
    bar.set_label("share of the |gradient| in a pixel", fontsize=9)
    return figure


def panel_of(panel: Axes, share: np.ndarray, norm: LogNorm, title: str) -> AxesImage:
    """The map in its panel, and a title."""
    panel.set_axis_on()
    panel.set(xticks=[], yticks=[])
    panel.grid(False)
    panel.set_title(title, fontsize=8)
    return panel.imshow(share, cmap="magma", norm=norm, interpolation="nearest")


def mean(fields: Sequence[Field]) -> np.ndarray:
    """Mean over seeds of the scores, the sum of each made one: (H, W)."""
    return np.mean([one.scores / one.scores.sum() for one in fields if one.scores is not None], axis=0)


def curves(found: Sequence[Subject]) -> Figure:
    """Share of the gradient against the side of the square; untrained with its standard deviation over seeds, and trained."""
    states = list(dict.fromkeys(state for subject in found for state, _ in subject.states()))
    figure, axes = canvas(1, len(states), 4.2, sharey=True)
    (names, common), looks = names_of(found), looks_of(found)
    for subject, look in zip(found, looks):
        for state, fields in subject.states():
            curve(axes[0, states.index(state)], fields, look)
    for state, panel in zip(states, axes[0]):
        panel.set(title=state, xlabel="side of the square / side of the image", ylim=(0, 1.02), xlim=(0, None))
    axes[0, 0].set_ylabel("share of the |gradient| in the square")
    figure.suptitle(common, fontsize=10, x=0.01, ha="left")
    legend(axes[0, -1], [handle(look, name) for look, name in zip(looks, names)])
    below(figure, "Bands: one standard deviation over seeds.")
    return figure


def curve(panel: Axes, fields: Sequence[Field], look: Style) -> None:
    """Mean and standard deviation over seeds of one network's share by side."""
    found = [one.curve for one in fields if one.curve is not None]
    sides, mass = found[0].side / fields[0].specimen.size[0], np.array([one.mass for one in found])
    dash = (0, look.dash) if look.dash else "-"
    panel.plot(sides, mass.mean(0), color=look.colour, linestyle=dash, marker=look.marker, markevery=0.15, markersize=4.5)
    if len(mass) > 1:
        spread = mass.std(0, ddof=1)
        panel.fill_between(sides, mass.mean(0) - spread, mass.mean(0) + spread, color=look.colour, alpha=0.15, linewidth=0)


def looks_of(found: Sequence[Subject]) -> list[Style]:
    """The look of each one's method, as in every figure; of the network, or of the whole title, where that is there twice."""
    labels = [subject.specimen.cell.label for subject in found]
    methods = [label.rpartition(" + ")[2] for label in labels]
    titles = [f"{label} ({subject.title})" for label, subject in zip(labels, found)]
    return [style.of(name) for name in next((names for names in (methods, labels) if len(set(names)) == len(names)), titles)]


def names_of(found: Sequence[Subject]) -> tuple[list[str], str]:
    """What tells the networks apart, one below the other in a name each, and what they have in common."""
    parts = [
        (method, host, subject.data, "x".join(map(str, subject.specimen.size)) + " px", subject.besides)
        for subject in found
        for host, _, method in [subject.specimen.cell.label.rpartition(" + ")]
    ]
    common = [len(set(column)) == 1 for column in zip(*parts)]
    common[0] = False  # the method stays
    names = ["\n".join(part for part, alike in zip(one, common) if part and not alike) for one in parts]
    return names, ", ".join(part for part, alike in zip(parts[0], common) if part and alike)
