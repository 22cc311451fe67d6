"""Pictures of kernels, of their spectra, and of mass against window size."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import groupby
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from bench.analysis.localisation.layers import SHOWN, Layer
from bench.analysis.localisation.tables import text
from bench.report.figures.canvas import below, canvas, theme
from bench.report.style import of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS, BESIDE = 5, 3  # layers of one network in a mosaic, untrained kernels beside the trained ones
PANELS = 6
NETWORKS, EACH = 3, 3  # networks in a picture, and layers of each where there are several
PLAIN = "Conv2d"
GAP = 0.4  # between the two, in widths of a kernel
Extent = tuple[float, float, float, float]
GREY = "#6b6b6b"
MASS = (
    "Share of the sum of |h| in a centred window: mean over kernels, band: 80% of them. Grey and dashed: untrained copies, "
    "mean and range over seeds. Dotted: all taps alike. Thin line: 90%."
)
KERNELS = "Red above 0, blue below, white 0; each kernel on a scale of its own, the square root of its absolute values."
SPECTRA = "Magnitude from its largest (bright) to 60 dB below (black); frequency 0 in the middle, the edge is half a cycle a pixel."


def draw(found: Sequence[Layer]) -> dict[str, Figure]:
    """`mass`, `kernels` and `spectra` of some layers of each network, `NETWORKS` to a picture; the next has -2 in its name.

    Never of kernels of one pixel.
    """
    large = [one for one in found if one.measured is not None and len(one.windows) > 1]
    operated = {one.bank.layer for one in large if one.bank.operator != PLAIN}
    networks = [list(group) for _, group in groupby(large, lambda one: one.specimen)]
    alone = len(networks) == 1
    figures = {}
    with theme():
        for page, first in enumerate(range(0, len(networks), NETWORKS), 1):
            shown = [_eligible(network, operated) for network in networks[first : first + NETWORKS]]
            panels, rows = ([chosen(layers, count if alone else EACH) for layers in shown] for count in (PANELS, ROWS))
            name = "" if page == 1 else f"-{page}"
            figures[f"mass{name}"] = _mass(panels, _left_out(panels, found))
            for kind, show, note in (("kernels", _kernel, KERNELS), ("spectra", _spectrum, SPECTRA)):
                figures[kind + name] = _mosaic([one for each in rows for one in each], show, f"{note} {_left_out(rows, found)}")
    return figures


def _eligible(network: Sequence[Layer], operated: Collection[str]) -> list[Layer]:
    """The layers where this network or one beside it has an operator of the registry; else those that keep the size of the map."""
    return (
        [one for one in network if one.bank.layer in operated] or [one for one in network if one.bank.stride == 1] or list(network)
    )


def chosen(found: Sequence[Layer], count: int) -> list[Layer]:
    """At most `count` at equal distances, the first and the last among them."""
    return [found[index] for index in np.unique(np.linspace(0, len(found) - 1, count).astype(int))]


def _left_out(shown: Sequence[Sequence[Layer]], found: Sequence[Layer]) -> str:
    """How many of the layers with kernels of these networks are not in the picture."""
    specimens = {layers[0].specimen for layers in shown}
    every = sum(one.measured is not None and one.specimen in specimens for one in found)
    left = every - sum(map(len, shown))
    return f"{every - left} of {every} layers; the others are in the tables." if left else ""


def _mosaic(layers: Sequence[Layer], show: Callable[[Any, np.ndarray, Layer, Extent], None], note: str) -> Figure:
    """A row a layer: kernels of the network, then some of its last untrained copy."""
    figure, axes = canvas(len(layers), height=0.5 + 1.2 * len(layers))
    for ax, layer in zip(axes[:, 0], layers):
        assert layer.measured is not None
        before = layer.untrained[-1].shown[:BESIDE] if layer.untrained else ()  # seed 0 is the network itself where it is untrained
        for place, kernel in [*enumerate(layer.measured.shown), *enumerate(before, SHOWN)]:
            left = place + (GAP if place >= SHOWN else 0)
            show(ax, kernel, layer, (left, left + 0.92, 0, 0.92))
        ax.set(xlim=(0, SHOWN + GAP + BESIDE), ylim=(0, 0.92))
        ax.set_axis_off()
        ax.set_title(_name(layer), fontsize=8)
    below(figure, f"Left: of the network; right: of an untrained copy. {note}".rstrip())
    return figure


def _kernel(ax: Any, kernel: np.ndarray, layer: Layer, extent: Extent) -> None:
    """Signed square root of the kernel over its largest absolute value: red above 0, blue below."""
    scaled = np.sign(kernel) * np.sqrt(np.abs(kernel) / np.abs(kernel).max())
    ax.imshow(scaled, cmap="RdBu_r", vmin=-1, vmax=1, extent=extent, interpolation="nearest")


def _spectrum(ax: Any, kernel: np.ndarray, layer: Layer, extent: Extent) -> None:
    """Decibels below the largest magnitude, frequency 0 in the middle, at the size of the map."""
    size = np.abs(np.fft.fftshift(np.fft.fft2(kernel, layer.bank.field)))
    decibels = 20 * np.log10(np.maximum(size / size.max(), 1e-3))
    ax.imshow(decibels, cmap="magma", vmin=-60, vmax=0, extent=extent, interpolation="nearest")


def _name(layer: Layer) -> str:
    """Network and layer; the size of the kernel, since all are drawn alike large."""
    return f"{layer.title}: {layer.bank.layer}, map {text(layer.bank.size)}, kernel {text(layer.bank.taps.shape)} px"


def _mass(networks: Sequence[Sequence[Layer]], note: str) -> Figure:
    """A row a network, or the layers of the only one in rows of `EACH`."""
    lines = [layers[first : first + EACH] for layers in networks for first in range(0, len(layers), EACH)]
    figure, axes = canvas(len(lines), max(map(len, lines)), height=0.8 + 2.6 * len(lines))
    for row, layers in zip(axes, lines):
        for ax, layer in zip(row, layers):
            _curves(ax, layer)
        for ax in row[len(layers) :]:
            ax.set_axis_off()
        row[0].set_ylabel("share of mass")
    below(figure, f"{MASS} {note}".rstrip())
    return figure


def _curves(ax: Any, layer: Layer) -> None:
    """Mean and 80% of the kernels; the untrained mean with its range over seeds; even mass."""
    assert layer.measured is not None
    curve, windows, colour = layer.measured.mass[1], layer.windows, of(layer.specimen.cell.label).colour
    low, high = np.quantile(curve, (0.1, 0.9), axis=0)
    ax.fill_between(windows, low, high, color=colour, alpha=0.2, linewidth=0)
    ax.plot(windows, curve.mean(0), color=colour, marker=".")
    if layer.untrained:
        before = layer.mass_beside(1)
        ax.fill_between(windows, before.min(0), before.max(0), color=GREY, alpha=0.3, linewidth=0)
        ax.plot(windows, before.mean(0), color=GREY, dashes=(4, 2))
    ax.plot(windows, layer.flat().mass[1][0], color="black", dashes=(1, 1))
    ax.axhline(0.9, color="black", linewidth=0.5)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set(xlabel="window, px", ylim=(0, 1.02))
    ax.set_title(fill(_name(layer), 34), fontsize=8)
