"""Figures of kernels, of their spectra, and of mass against window size."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import groupby
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from bench.analysis.localisation.layers import EXAMPLES, Layer
from bench.analysis.localisation.tables import format_size
from bench.report import style
from bench.report.figures.canvas import below, canvas, theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS = 5  # layers per network in a mosaic
UNTRAINED_EXAMPLES = 3  # untrained kernels per layer in a mosaic
PANELS = 6  # layers in a figure of mass, for a single network
NETWORKS, LAYERS = 3, 3  # networks per figure, and layers of each
PLAIN = "Conv2d"
GAP = 0.4  # between trained and untrained kernels, in widths of a kernel
Extent = tuple[float, float, float, float]
GREY = "#6b6b6b"
MASS = (
    "Share of the sum of |h| in a centred window: mean and 80% range over kernels. Grey, dashed: untrained copies, mean and range "
    "over seeds. Dotted: all taps equal. Thin line: 90%."
)
KERNELS = "Positive red, negative blue, 0 white. The colour scale is the square root of the absolute value, per kernel."
SPECTRA = "Magnitude from the maximum (bright) to -60 dB (black); frequency 0 in the centre, 0.5 cycles per pixel at the edge."


def draw(layers: Sequence[Layer]) -> dict[str, Figure]:
    """Draw `mass`, `kernels` and `spectra` of some layers of each network, `NETWORKS` per figure; further figures end in -2 etc.

    Kernels of one pixel are left out.
    """
    large = [layer for layer in layers if layer.measured is not None and len(layer.windows) > 1]
    operator_layers = {layer.bank.layer for layer in large if layer.bank.operator != PLAIN}
    networks = [list(group) for _, group in groupby(large, lambda layer: layer.network)]
    single = len(networks) == 1
    figures = {}
    with theme():
        for page, first in enumerate(range(0, len(networks), NETWORKS), 1):
            eligible = [_eligible(network, operator_layers) for network in networks[first : first + NETWORKS]]
            panels = [evenly_spaced(candidates, PANELS if single else LAYERS) for candidates in eligible]
            rows = [evenly_spaced(candidates, ROWS if single else LAYERS) for candidates in eligible]
            suffix = "" if page == 1 else f"-{page}"
            figures[f"mass{suffix}"] = _mass(panels, _omission_note(panels, layers))
            for kind, show, note in (("kernels", _kernel, KERNELS), ("spectra", _spectrum, SPECTRA)):
                selected = [layer for network in rows for layer in network]
                figures[kind + suffix] = _mosaic(selected, show, f"{note} {_omission_note(rows, layers)}")
    return figures


def _eligible(network: Sequence[Layer], operator_layers: Collection[str]) -> list[Layer]:
    """Return the layers that hold an operator of the registry in any network; else those of stride 1; else all."""
    return (
        [layer for layer in network if layer.bank.layer in operator_layers]
        or [layer for layer in network if layer.bank.stride == 1]
        or list(network)
    )


def evenly_spaced(layers: Sequence[Layer], count: int) -> list[Layer]:
    """Return at most `count` evenly spaced layers, including the first and the last."""
    return [layers[index] for index in np.unique(np.linspace(0, len(layers) - 1, count).astype(int))]


def _omission_note(shown: Sequence[Sequence[Layer]], layers: Sequence[Layer]) -> str:
    """Return how many of the measured layers of these networks are shown; "" if all are."""
    networks = {selected[0].network for selected in shown}
    total = sum(layer.measured is not None and layer.network in networks for layer in layers)
    count = sum(map(len, shown))
    return f"{count} of {total} layers; the others are in the tables." if count < total else ""


def _mosaic(layers: Sequence[Layer], show: Callable[[Any, np.ndarray, Layer, Extent], None], note: str) -> Figure:
    """Draw one row per layer: kernels of the network, then kernels of its last untrained copy."""
    figure, axes = canvas(len(layers), height=0.5 + 1.2 * len(layers))
    for ax, layer in zip(axes[:, 0], layers):
        assert layer.measured is not None
        # the last copy: seed 0 is the network itself if that is untrained
        untrained = layer.untrained[-1].examples[:UNTRAINED_EXAMPLES] if layer.untrained else ()
        for column, kernel in [*enumerate(layer.measured.examples), *enumerate(untrained, EXAMPLES)]:
            left = column + (GAP if column >= EXAMPLES else 0)
            show(ax, kernel, layer, (left, left + 0.92, 0, 0.92))
        ax.set(xlim=(0, EXAMPLES + GAP + UNTRAINED_EXAMPLES), ylim=(0, 0.92))
        ax.set_axis_off()
        ax.set_title(_name(layer), fontsize=8)
    below(figure, f"Left: kernels of the network. Right: kernels of an untrained copy. {note}".rstrip())
    return figure


def _kernel(ax: Any, kernel: np.ndarray, layer: Layer, extent: Extent) -> None:
    """Draw the signed square root of the kernel, normalised by its largest absolute value: positive red, negative blue."""
    scaled = np.sign(kernel) * np.sqrt(np.abs(kernel) / np.abs(kernel).max())
    ax.imshow(scaled, cmap="RdBu_r", vmin=-1, vmax=1, extent=extent, interpolation="nearest")


def _spectrum(ax: Any, kernel: np.ndarray, layer: Layer, extent: Extent) -> None:
    """Draw the magnitude in decibels relative to its maximum, with frequency 0 in the centre, at the size of the map."""
    size = np.abs(np.fft.fftshift(np.fft.fft2(kernel, layer.bank.extent)))
    decibels = 20 * np.log10(np.maximum(size / size.max(), 1e-3))
    ax.imshow(decibels, cmap="magma", vmin=-60, vmax=0, extent=extent, interpolation="nearest")


def _name(layer: Layer) -> str:
    """Return network, layer and sizes. The kernel size is stated because all kernels are drawn at the same size."""
    return f"{layer.title}: {layer.bank.layer}, map {format_size(layer.bank.size)}, kernel {format_size(layer.bank.taps.shape)} px"


def _mass(networks: Sequence[Sequence[Layer]], note: str) -> Figure:
    """Draw one row per network, or several rows of `LAYERS` layers for a single network."""
    lines = [layers[first : first + LAYERS] for layers in networks for first in range(0, len(layers), LAYERS)]
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
    """Draw mean and 80% range of the kernels, mean and range of the untrained copies, and uniform mass."""
    assert layer.measured is not None
    curve, windows, cell = layer.measured.mass[1], layer.windows, layer.network.cell
    colour = style.of(style.styled_name(cell.method, cell.network), cell.label).colour
    low, high = np.quantile(curve, (0.1, 0.9), axis=0)
    ax.fill_between(windows, low, high, color=colour, alpha=0.2, linewidth=0)
    ax.plot(windows, curve.mean(0), color=colour, marker=".")
    if layer.untrained:
        untrained = layer.untrained_mass(1)
        ax.fill_between(windows, untrained.min(0), untrained.max(0), color=GREY, alpha=0.3, linewidth=0)
        ax.plot(windows, untrained.mean(0), color=GREY, dashes=(4, 2))
    ax.plot(windows, layer.uniform().mass[1][0], color="black", dashes=(1, 1))
    ax.axhline(0.9, color="black", linewidth=0.5)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set(xlabel="window, px", ylim=(0, 1.02))
    ax.set_title(fill(_name(layer), 34), fontsize=8)
