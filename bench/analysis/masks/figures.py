"""Figures of learned masks: sizes over epochs, spectra relative to Nyquist, and the first and last masks and kernels."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from textwrap import fill
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from bench.analysis.epochs import file_suffix
from bench.analysis.masks.aliasing import OVERSAMPLING, Bound, Spectrum
from bench.analysis.network import Network
from bench.report.figures.canvas import below, canvas, legend, theme
from methods.parts.continuous import ContinuousConv
from methods.parts.gaussian_mask import grid_axis

KERNEL_LAYERS = 4  # layers in the figure of kernels: evenly spaced, including the first and the last
TITLE_WIDTH = 90  # characters per line of a title
MIN_DENSITY = 1e-6  # smallest density of the energy that is drawn


class LayerAtEpoch(NamedTuple):
    """A layer of a network at one epoch, with its frequency bound and its energy spectrum."""

    network: Network
    name: str
    module: ContinuousConv
    bound: Bound | None
    spectrum: Spectrum


@dataclass
class TrainingLayers:
    """All FlexConv layers of one training at all epochs; empty for a network without such layers."""

    title: str
    layers: list[LayerAtEpoch]

    @cached_property
    def epochs(self) -> list[int | None]:
        return list(dict.fromkeys(layer.network.epoch for layer in self.layers))

    @cached_property
    def epochs_by_layer(self) -> dict[str, list[LayerAtEpoch]]:
        """All epochs of each layer, by the layer's name."""
        groups: dict[str, list[LayerAtEpoch]] = {}
        for layer in self.layers:
            groups.setdefault(layer.name, []).append(layer)
        return groups

    @property
    def colours(self) -> list[str]:
        """One colour per layer, from dark (first) to light (last)."""
        return [to_hex(colour) for colour in mpl.colormaps["viridis"](np.linspace(0, 0.8, len(self.epochs_by_layer)))]


def draw(trainings: Sequence[TrainingLayers]) -> dict[str, Figure]:
    """Draw for each training: sizes over epochs if there are several, the spectra, and masks and kernels."""
    figures: dict[str, Figure] = {}
    with theme():
        for training in trainings:
            end = file_suffix(training.title) if len(trainings) > 1 else ""
            if len(training.epochs) > 1:
                figures[f"sizes{end}"] = draw_sizes(training)
            figures[f"spectra{end}"] = draw_spectra(training)
            figures[f"kernels{end}"] = draw_kernels(training)
    return figures


def draw_sizes(training: TrainingLayers) -> Figure:
    """Draw sigma and cropped size against epochs, one colour per layer; rows are solid, columns are dotted."""
    figure, ((left, right),) = canvas(1, 2, 3.8)
    for colour, layers in zip(training.colours, training.epochs_by_layer.values()):
        epochs = [layer.network.epoch for layer in layers]
        for axis, style in enumerate("-:"):
            masks = [layer.module.mask for layer in layers]
            sigma = [np.nan if mask is None else abs(mask.sigma[axis].item()) for mask in masks]
            left.plot(epochs, sigma, style, color=colour)
            right.plot(epochs, [layer.module.cropped()[axis] for layer in layers], style, color=colour, drawstyle="steps-mid")
    set_title(figure, training.title)
    epoch = f"epoch (of {training.layers[-1].network.epochs})"
    left.set(xlabel=epoch, ylabel="sigma of the mask / half horizon")
    right.set(xlabel=epoch, ylabel="size of the cropped kernel, px")
    right.set_yticks(sorted({size for layer in training.layers for size in layer.module.cropped()}))
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
    lines = [Line2D([], [], color=colour, label=name) for colour, name in zip(training.colours, training.epochs_by_layer)]
    directions = [right.plot([], [], style, color="black", label=name)[0] for style, name in (("-", "rows"), (":", "columns"))]
    legend(right, lines + directions)
    return figure


def draw_spectra(training: TrainingLayers) -> Figure:
    """Draw the energy of each layer's kernels by frequency, at the first and the last epoch."""
    ends = list(dict.fromkeys((training.epochs[0], training.epochs[-1])))
    figure, axes = canvas(1, len(ends), 3.8, sharey=True)
    set_title(figure, training.title)
    for panel, epoch in zip(axes[0], ends):
        lines = []
        for colour, (name, layers) in zip(training.colours, training.epochs_by_layer.items()):
            spectrum = next(layer.spectrum for layer in layers if layer.network.epoch == epoch)
            density = np.maximum(spectrum.share / spectrum.frequency[1], MIN_DENSITY)
            (line,) = panel.plot(spectrum.frequency, density, color=colour, label=f"{name}: {spectrum.above:.1%}")
            lines.append(line)
        panel.axvline(1, color="black", linewidth=1)
        panel.text(1.04, 0.98, "Nyquist", transform=panel.get_xaxis_transform(), va="top", fontsize=9)
        panel.set(yscale="log", xlim=(0, OVERSAMPLING), xlabel="frequency / Nyquist frequency of the grid")
        panel.set_title("" if epoch is None else f"epoch {epoch} of {training.layers[-1].network.epochs}", fontsize=9)
        panel.legend(handles=lines, title="energy above Nyquist", loc="upper right", bbox_to_anchor=(1, 0.92), fontsize=8)
    axes[0, 0].set_ylabel("share of the energy per unit of frequency")
    return figure


def draw_kernels(training: TrainingLayers) -> Figure:
    """Draw the mask and the kernel of largest norm of some layers on the whole grid, first and last epoch; the crop is framed."""
    ends = list(dict.fromkeys((training.epochs[0], training.epochs[-1])))
    names = list(training.epochs_by_layer)
    names = [names[round(index)] for index in np.linspace(0, len(names) - 1, min(KERNEL_LAYERS, len(names)))]
    figure, axes = canvas(len(names), 2 * len(ends), 0.5 + (2.1 if len(ends) > 1 else 3.6) * len(names))
    for row, name in zip(axes, names):
        modules = {layer.network.epoch: layer.module for layer in training.epochs_by_layer[name]}
        index = largest_norm(modules[ends[-1]])
        for panels, epoch in zip((row[:2], row[2:]), ends):
            mask, kernel = on_grid(modules[epoch], index)
            draw_image(panels[0], mask, modules[epoch], "Greys", (0, 1), f"mask{epoch_suffix(epoch)}")
            most = float(np.abs(kernel).max()) or 1.0
            draw_image(panels[1], kernel, modules[epoch], "RdBu_r", (-most, most), f"kernel {index}{epoch_suffix(epoch)}")
        row[0].set_ylabel(name, fontsize=8)
    set_title(figure, training.title)
    below(figure, "The whole grid of each layer, with the crop framed. Each kernel has its own scale.")
    return figure


@torch.no_grad()
def on_grid(layer: ContinuousConv, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mask and one masked kernel before the crop, on the layer's whole grid: (N, N) each."""
    axis = grid_axis(layer.horizon, layer.horizon, layer.bias.device)
    mask = torch.ones(layer.horizon, layer.horizon) if layer.mask is None else layer.mask(axis, axis).cpu()
    kernel = torch.einsum("m,mhw->hw", layer.net.matrix()[index], uncropped(layer).maps())
    return mask.numpy(), kernel.cpu().numpy()


@torch.no_grad()
def largest_norm(layer: ContinuousConv) -> int:
    """Return the index of the kernel with the largest norm before the crop."""
    maps, matrix = uncropped(layer).maps().flatten(1), layer.net.matrix()
    return int(((matrix @ (maps @ maps.T)) * matrix).sum(1).argmax())


def uncropped(layer: ContinuousConv) -> ContinuousConv:
    whole = copy.copy(layer)
    whole.crop = False
    return whole


def set_title(figure: Figure, text: str) -> None:
    """Set a wrapped title over the whole figure."""
    figure.suptitle(fill(text, TITLE_WIDTH), fontsize=10, x=0.01, ha="left")


def draw_image(panel: Axes, values: np.ndarray, layer: ContinuousConv, cmap: str, limits: tuple[float, float], name: str) -> None:
    panel.imshow(values, cmap=cmap, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    kh, kw = layer.cropped()
    corner = ((layer.horizon - kw) / 2 - 0.5, (layer.horizon - kh) / 2 - 0.5)
    panel.add_patch(Rectangle(corner, kw, kh, fill=False, edgecolor="#ff5804", linewidth=1.2))
    panel.set(xticks=[], yticks=[])
    panel.set_title(name, fontsize=8.5)


def epoch_suffix(epoch: int | None) -> str:
    return "" if epoch is None else f", epoch {epoch}"
