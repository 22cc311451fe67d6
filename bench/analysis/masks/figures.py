"""Pictures of learned masks: sizes over epochs, spectra against the Nyquist frequency, masks and kernels first and last."""

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

from bench.analysis.epochs import file_name
from bench.analysis.masks.aliasing import OVERSAMPLING, Bound, Content
from bench.analysis.network import Network
from bench.report.figures.canvas import below, canvas, legend, theme
from methods.parts.continuous import ContinuousConv
from methods.parts.gaussian_mask import grid_axis

SHOWN = 4  # layers in the picture of kernels: evenly spaced, the first and the last among them
WRAP = 90  # letters of a title in one line
FLOOR = 1e-6  # smallest share of the energy that is drawn


class Look(NamedTuple):
    """A layer at an epoch."""

    specimen: Network
    name: str
    layer: ContinuousConv
    bound: Bound | None
    content: Content


@dataclass
class History:
    """All layers of one training, epoch by epoch; none for a network without such layers."""

    title: str
    looks: list[Look]

    @cached_property
    def epochs(self) -> list[int | None]:
        return list(dict.fromkeys(look.specimen.epoch for look in self.looks))

    @cached_property
    def layers(self) -> dict[str, list[Look]]:
        """Every epoch of each layer."""
        return {
            name: [look for look in self.looks if look.name == name] for name in dict.fromkeys(look.name for look in self.looks)
        }

    @property
    def colours(self) -> list[str]:
        """One a layer, from the first, dark, to the last, light."""
        return [to_hex(colour) for colour in mpl.colormaps["viridis"](np.linspace(0, 0.8, len(self.layers)))]


def draw(found: Sequence[History]) -> dict[str, Figure]:
    """For each training: sizes over epochs where there are several, the kernels' spectra, masks and kernels."""
    figures: dict[str, Figure] = {}
    with theme():
        for history in found:
            end = file_name(history.title) if len(found) > 1 else ""
            if len(history.epochs) > 1:
                figures[f"sizes{end}"] = sizes(history)
            figures[f"spectra{end}"] = spectra(history)
            figures[f"kernels{end}"] = kernels(history)
    return figures


def sizes(history: History) -> Figure:
    """Sigma and cropped size against epochs, a colour a layer; rows solid, columns dashed."""
    figure, ((left, right),) = canvas(1, 2, 3.8)
    for colour, looks in zip(history.colours, history.layers.values()):
        epochs = [look.specimen.epoch for look in looks]
        for axis, style in enumerate("-:"):
            sigma = [np.nan if look.layer.mask is None else abs(look.layer.mask.sigma[axis].item()) for look in looks]
            left.plot(epochs, sigma, style, color=colour)
            right.plot(epochs, [look.layer.cropped()[axis] for look in looks], style, color=colour, drawstyle="steps-mid")
    title(figure, history.title)
    epoch = f"epoch, of {history.looks[-1].specimen.epochs}"
    left.set(xlabel=epoch, ylabel="sigma of the mask, half horizons")
    right.set(xlabel=epoch, ylabel="kernel after the crop, px")
    right.set_yticks(sorted({size for look in history.looks for size in look.layer.cropped()}))
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
    lines = [Line2D([], [], color=colour, label=name) for colour, name in zip(history.colours, history.layers)]
    ways = [right.plot([], [], style, color="black", label=name)[0] for style, name in (("-", "rows"), (":", "columns"))]
    legend(right, lines + ways)
    return figure


def spectra(history: History) -> Figure:
    """Energy of each layer's kernels by frequency, at the first and the last epoch."""
    ends = list(dict.fromkeys((history.epochs[0], history.epochs[-1])))
    figure, axes = canvas(1, len(ends), 3.8, sharey=True)
    title(figure, history.title)
    for panel, epoch in zip(axes[0], ends):
        lines = []
        for colour, (name, looks) in zip(history.colours, history.layers.items()):
            content = next(look.content for look in looks if look.specimen.epoch == epoch)
            density = content.share / content.frequency[1]
            (line,) = panel.plot(content.frequency, np.maximum(density, FLOOR), color=colour, label=f"{name}: {content.above:.1%}")
            lines.append(line)
        panel.axvline(1, color="black", linewidth=1)
        panel.text(1.04, 0.98, "Nyquist", transform=panel.get_xaxis_transform(), va="top", fontsize=9)
        panel.set(yscale="log", xlim=(0, OVERSAMPLING), xlabel="frequency / Nyquist frequency of the grid")
        panel.set_title("" if epoch is None else f"epoch {epoch} of {history.looks[-1].specimen.epochs}", fontsize=9)
        panel.legend(handles=lines, title="energy above Nyquist", loc="upper right", bbox_to_anchor=(1, 0.92), fontsize=8)
    axes[0, 0].set_ylabel("share of the energy per unit of frequency")
    return figure


def kernels(history: History) -> Figure:
    """Mask and strongest kernel of some layers on their whole grids, at the first and the last epoch; the crop as a frame."""
    ends = list(dict.fromkeys((history.epochs[0], history.epochs[-1])))
    names = list(history.layers)
    names = [names[round(place)] for place in np.linspace(0, len(names) - 1, min(SHOWN, len(names)))]
    figure, axes = canvas(len(names), 2 * len(ends), 0.5 + (2.1 if len(ends) > 1 else 3.6) * len(names))
    for row, name in zip(axes, names):
        looks = {look.specimen.epoch: look.layer for look in history.layers[name]}
        index = strongest(looks[ends[-1]])
        for panels, epoch in zip((row[:2], row[2:]), ends):
            mask, kernel = on_grid(looks[epoch], index)
            show(panels[0], mask, looks[epoch], "Greys", (0, 1), f"mask{when(epoch)}")
            most = float(np.abs(kernel).max()) or 1.0
            show(panels[1], kernel, looks[epoch], "RdBu_r", (-most, most), f"kernel {index}{when(epoch)}")
        row[0].set_ylabel(name, fontsize=8)
    title(figure, history.title)
    below(figure, "Whole horizons, the crop framed, each kernel at its own scale.")
    return figure


@torch.no_grad()
def on_grid(layer: ContinuousConv, index: int) -> tuple[np.ndarray, np.ndarray]:
    """The mask and one masked kernel before the crop, on the layer's whole grid: (N, N) each."""
    axis = grid_axis(layer.horizon, layer.horizon, layer.bias.device)
    mask = torch.ones(layer.horizon, layer.horizon) if layer.mask is None else layer.mask(axis, axis).cpu()
    kernel = torch.einsum("m,mhw->hw", layer.net.matrix()[index], uncropped(layer).maps())
    return mask.numpy(), kernel.cpu().numpy()


@torch.no_grad()
def strongest(layer: ContinuousConv) -> int:
    """The kernel with the largest norm before the crop."""
    maps, matrix = uncropped(layer).maps().flatten(1), layer.net.matrix()
    return int(((matrix @ (maps @ maps.T)) * matrix).sum(1).argmax())


def uncropped(layer: ContinuousConv) -> ContinuousConv:
    whole = copy.copy(layer)
    whole.crop = False
    return whole


def title(figure: Figure, text: str) -> None:
    """Over the whole figure, wrapped."""
    figure.suptitle(fill(text, WRAP), fontsize=10, x=0.01, ha="left")


def show(panel: Axes, values: np.ndarray, layer: ContinuousConv, colours: str, limits: tuple[float, float], name: str) -> None:
    panel.imshow(values, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    kh, kw = layer.cropped()
    corner = ((layer.horizon - kw) / 2 - 0.5, (layer.horizon - kh) / 2 - 0.5)
    panel.add_patch(Rectangle(corner, kw, kh, fill=False, edgecolor="#ff5804", linewidth=1.2))
    panel.set(xticks=[], yticks=[])
    panel.set_title(name, fontsize=8.5)


def when(epoch: int | None) -> str:
    return "" if epoch is None else f", epoch {epoch}"
