"""Learned kernel sizes of FlexConv over a training, and the frequencies of its kernels relative to Nyquist."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from bench.analysis.epochs import group_by_training, unique_titles
from bench.analysis.masks import aliasing, figures
from bench.analysis.masks.aliasing import Bound, Spectrum
from bench.analysis.masks.figures import LayerAtEpoch, TrainingLayers
from bench.analysis.network import Network
from bench.analysis.output import Findings
from bench.report import markdown
from bench.report.blocks import Block, Bold, Code, Inline, Paragraph, Table, join, separated
from bench.report.text import short
from methods import Unsupported
from methods.parts.continuous import ContinuousConv
from methods.parts.gaussian_mask import GaussianMask

Row = dict[str, Any]
AXES = ("rows", "columns")

COLUMNS = {
    "specimen": "network, method and training data set",
    "seed": "seed of the training",
    "epoch": "number of epochs trained, 0: before the first; empty for a network by name",
    "epochs": "total number of epochs of the training",
    "protocol": "training protocol; the digits at the end identify all settings",
    "layer": "name of the module in the network",
    "horizon": "points of the layer's grid along an axis: the largest kernel size, px",
    "mean_rows": "learned centre of the mask, in units of half the horizon; also mean_columns",
    "sigma_rows": "learned width of the mask, in units of half the horizon; empty without a mask; also sigma_columns",
    "mask_rows": "length over which the mask exceeds the crop threshold, not clipped to the horizon, px; also mask_columns",
    "kernel_rows": "size of the cropped kernel, px; also kernel_columns",
    "share_rows": "kernel_rows / horizon; also share_columns",
    "nyquist": "highest frequency that the layer's grid represents, (horizon - 1) / 4 cycles per unit of position",
    "filters": "frequency bound of the kernel network / nyquist: sum over its filters, two standard deviations into each window",
    "mask": "frequency bound of the mask / nyquist: two standard deviations of the spectrum along its narrower axis",
    "bound": "filters + mask: nearly all energy is below it; the default penalty uses only the filters",
    "above": f"share of the kernels' energy above nyquist, measured on a grid {aliasing.OVERSAMPLING} times as fine",
    "reach": f"frequency / nyquist below which {aliasing.ENERGY_SHARE:.0%} of that energy lies; at most {aliasing.OVERSAMPLING}",
    "frequency": "maximum of the frequencies along rows and columns, / nyquist",
    "share": "share of the kernels' energy at that frequency",
}

READING_NOTES = f"""\
The width of a mask is the length over which it exceeds the crop threshold. The cropped kernel is the part of the grid within that
length, symmetric around the centre and at least three pixels wide. Frequencies are in units of the Nyquist frequency of the
layer's grid at the training resolution. The bound is the sum of the highest frequencies of all filters and of the mask, two
standard deviations each; nearly all energy is below it. By default, FlexConv's anti-aliasing penalty uses only the filters, each
with an equal share of the Nyquist frequency. The energy is measured for the masked kernels before the crop, with a Hann window,
on a grid {aliasing.OVERSAMPLING} times as fine. If the bound exceeds that factor, higher frequencies may alias: a white spectrum
has {1 - aliasing.OVERSAMPLING**-2:.0%} of its energy above Nyquist. A layer with much energy above 1 changes with its grid: it is
tied to the training resolution.
"""


def analyse(networks: Sequence[Network]) -> Findings:
    """Measure the FlexConv layers of networks at every saved epoch.

    The tables are `masks` and `aliasing`, one row per layer and epoch, and `spectra`. Raises ValueError if no network has a
    FlexConv layer.
    """
    groups = group_by_training(networks)
    titles = unique_titles([epochs[-1] for epochs in groups], _title)
    trainings = [
        TrainingLayers(title, [layer for network in epochs for layer in measure(network)]) for title, epochs in zip(titles, groups)
    ]
    without = {epochs[0].label: None for epochs, training in zip(groups, trainings) if not training.layers}
    trainings = [training for training in trainings if training.layers]
    if not trainings:
        raise ValueError(f"no FlexConv layer in {', '.join(without)}")
    layers = [layer for training in trainings for layer in training.layers]
    tables = {
        "masks": pd.DataFrame([_keys(layer) | sizes(layer.module) for layer in layers]),
        "aliasing": pd.DataFrame([_keys(layer) | frequencies(layer.module, layer.bound, layer.spectrum) for layer in layers]),
        "spectra": pd.DataFrame([row for layer in layers for row in _spectrum_rows(layer)]),
    }
    return Findings("Learned kernel sizes", markdown.document(_text(trainings, without)), tables, figures.draw(trainings), COLUMNS)


def _title(network: Network) -> str:
    return network.label + (f", seed {network.cell.seed}" if network.weights else "")


def measure(network: Network) -> Iterator[LayerAtEpoch]:
    """Yield every continuous layer of a network. Raises ValueError if an operator does not support the network."""
    try:
        module = network.module()
    except Unsupported as reason:
        raise ValueError(f"{network.label}: {reason}") from reason
    for name, layer in module.named_modules():
        if isinstance(layer, ContinuousConv):
            yield LayerAtEpoch(network, name, layer, aliasing.frequency_bound(layer), aliasing.energy_spectrum(layer))


def sizes(layer: ContinuousConv) -> Row:
    """Return mask and crop of a layer along both axes, in px of its own grid."""
    row: Row = {"horizon": layer.horizon}
    for axis, name in enumerate(AXES):
        size = layer.cropped()[axis]
        row |= {f"{key}_{name}": value for key, value in _mask(layer.mask, axis, layer.horizon).items()}
        row |= {f"kernel_{name}": size, f"share_{name}": size / layer.horizon}
    return row


def _mask(mask: GaussianMask | None, axis: int, horizon: int) -> Row:
    if mask is None:
        return dict.fromkeys(("mean", "sigma", "mask"))
    mean, sigma = mask.mean[axis].item(), mask.sigma[axis].item()
    return {"mean": mean, "sigma": sigma, "mask": abs(sigma) * math.sqrt(-2 * math.log(mask.threshold)) * (horizon - 1)}


def frequencies(layer: ContinuousConv, bound: Bound | None, spectrum: Spectrum) -> Row:
    """Return the frequency bounds and the measured frequencies of a layer."""
    known = {} if bound is None else {"filters": bound.filters, "mask": bound.mask, "bound": bound.kernel}
    empty = dict.fromkeys(("filters", "mask", "bound"))
    return {"nyquist": (layer.horizon - 1) / 4, **empty, **known, "above": spectrum.above, "reach": spectrum.frequency_99}


def _spectrum_rows(layer: LayerAtEpoch) -> Iterator[Row]:
    for frequency, share in zip(layer.spectrum.frequency, layer.spectrum.share):
        yield _keys(layer) | {"frequency": frequency, "share": share}


def _keys(layer: LayerAtEpoch) -> Row:
    """Return the columns that identify a layer at an epoch."""
    network = layer.network
    training = {"seed": network.cell.seed, "epoch": network.epoch, "epochs": network.epochs, "protocol": network.protocol}
    return {"specimen": network.label, **training, "layer": layer.name}


def _text(trainings: Sequence[TrainingLayers], without: Iterable[str]) -> Iterator[Block]:
    yield Paragraph("Gaussian mask, cropped kernel and kernel frequencies of each FlexConv layer.")
    if names := separated(map(Code, without), ", "):
        yield Paragraph(join("Without a FlexConv layer: ", names, "."))
    for training in trainings:
        yield Paragraph(Bold(f"{training.title}, {_epoch_range(training)}"))
        yield Table([_line(epochs[0], epochs[-1]) for epochs in training.epochs_by_layer.values()], left=("layer",))
    yield Paragraph(prose=READING_NOTES)


def _epoch_range(training: TrainingLayers) -> str:
    first, last = training.epochs[0], training.epochs[-1]
    progress = training.layers[-1].network.progress or "untrained"
    return progress if first == last else progress.replace("epoch", f"epoch {first} →")


def _line(first: LayerAtEpoch, last: LayerAtEpoch) -> dict[str, Inline]:
    before, after = ({**sizes(layer.module), **frequencies(layer.module, layer.bound, layer.spectrum)} for layer in (first, last))

    def change(show: Any) -> str:
        return " → ".join(dict.fromkeys((show(before), show(after))))

    return {
        "layer": Code(last.name),
        "horizon, px": str(last.module.horizon),
        "sigma, rows x columns": change(lambda row: f"{short(row['sigma_rows'])} x {short(row['sigma_columns'])}"),
        "mask, px": change(lambda row: f"{short(row['mask_rows'])} x {short(row['mask_columns'])}"),
        "kernel, px": change(lambda row: f"{row['kernel_rows']}x{row['kernel_columns']}"),
        "bound / Nyquist": change(lambda row: short(row["bound"]) or "none"),
        "energy above Nyquist": change(lambda row: f"{row['above']:.1%}"),
    }
