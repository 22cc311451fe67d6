"""FlexConv's learned kernel sizes over a training, and the frequencies of its kernels against what their grid holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from bench.analysis.epochs import histories, titles
from bench.analysis.masks import aliasing
from bench.analysis.masks import figures as mask_figures
from bench.analysis.masks.aliasing import Bound, Content
from bench.analysis.network import Network
from bench.analysis.output import Findings
from bench.report.text import code, short, table
from methods import Unsupported
from methods.parts.continuous import ContinuousConv
from methods.parts.gaussian_mask import GaussianMask

Row = dict[str, Any]
AXES = ("rows", "columns")

COLUMNS = {
    "specimen": "network and method, and what it was trained on",
    "seed": "of the training",
    "epoch": "epochs trained, 0: before the first; empty for a network by name",
    "epochs": "that its training was to have",
    "protocol": "what it was trained under; the digits at the end stand for all settings",
    "layer": "name of the module in the network",
    "horizon": "points of the layer's grid along an axis: the largest kernel, px",
    "mean_rows": "centre of the mask in units of half the horizon, as learned (mean_columns alike)",
    "sigma_rows": "width of the mask in units of half the horizon, as learned (sigma_columns alike); empty without a mask",
    "mask_rows": "px: length in which the mask exceeds the crop threshold, whatever the horizon (mask_columns alike)",
    "kernel_rows": "px: size of the kernel after the crop (kernel_columns alike)",
    "share_rows": "kernel_rows over the horizon (share_columns alike)",
    "nyquist": "highest frequency that the layer's grid holds, (horizon - 1) / 4 cycles per unit of position",
    "filters": "bound of the kernel net over nyquist: the sum over its filters, two standard deviations into each window",
    "mask": "the same of the mask: two standard deviations of the spectrum of its narrower axis",
    "bound": "filters + mask, over nyquist: nearly all energy lies below it; the penalty by default looks at the filters alone",
    "above": f"share of the kernels' energy above nyquist, measured on a grid {aliasing.OVERSAMPLING} times as fine",
    "reach": f"frequency over nyquist below which {aliasing.MOST:.0%} of that energy lie; at most {aliasing.OVERSAMPLING}",
    "frequency": "max of the frequencies along rows and columns, over nyquist",
    "share": "of the kernels' energy at that frequency",
}

READ = f"""\
The mask's width is that in which it exceeds the crop threshold; the crop keeps what lies within it on the grid, the same on both
sides of the centre, and three pixels at least. Frequencies are in units of the Nyquist frequency of the layer's grid, which is that
of its training. The bound adds the highest frequencies of all filters and of the mask, two standard deviations each: nearly all
energy lies below it. FlexConv's anti-aliasing penalty by default looks at the filters alone, each at an equal share of Nyquist.
Measured is the energy of the masked kernels, before the crop and
under a Hann window, on a grid {aliasing.OVERSAMPLING} times as fine. Where the bound exceeds that factor, higher frequencies may
fold back: energy that is spread evenly over all of them reads {1 - aliasing.OVERSAMPLING**-2:.0%}. A layer with much energy above 1
is another on another grid: it is tied to the resolution of its training.
"""


def analyse(specimens: Sequence[Network]) -> Findings:
    """Tables `masks`, `aliasing` and `spectra`, a row a layer and epoch; raises ValueError where no network has such a layer."""
    trainings = histories(specimens)
    names = titles([epochs[-1] for epochs in trainings], _title)
    found = [mask_figures.History(name, [look for one in epochs for look in looks(one)]) for name, epochs in zip(names, trainings)]
    without = {epochs[0].label: None for epochs, history in zip(trainings, found) if not history.looks}
    found = [history for history in found if history.looks]
    if not found:
        raise ValueError(f"no FlexConv layer in {', '.join(without)}")
    every = [look for history in found for look in history.looks]
    tables = {
        "masks": pd.DataFrame([_where(look) | sizes(look.layer) for look in every]),
        "aliasing": pd.DataFrame([_where(look) | frequencies(look.layer, look.bound, look.content) for look in every]),
        "spectra": pd.DataFrame([row for look in every for row in _spectrum(look)]),
    }
    return Findings("Learned kernel sizes", "\n".join(_text(found, without)), tables, mask_figures.draw(found), COLUMNS)


def _title(one: Network) -> str:
    return one.label + (f", seed {one.cell.seed}" if one.weights else "")


def looks(one: Network) -> Iterator[mask_figures.Look]:
    """Every continuous layer of a network; raises ValueError for an operator that cannot be had at this size."""
    try:
        network = one.network()
    except Unsupported as reason:
        raise ValueError(f"{one.label}: {reason}") from reason
    for name, module in network.named_modules():
        if isinstance(module, ContinuousConv):
            yield mask_figures.Look(one, name, module, aliasing.bound(module), aliasing.content(module))


def sizes(layer: ContinuousConv) -> Row:
    """Mask and crop of a layer along both axes; px of its own grid."""
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


def frequencies(layer: ContinuousConv, bound: Bound | None, content: Content) -> Row:
    """The bound and what was measured."""
    known = {} if bound is None else {"filters": bound.filters, "mask": bound.mask, "bound": bound.kernel}
    empty = dict.fromkeys(("filters", "mask", "bound"))
    return {"nyquist": (layer.horizon - 1) / 4, **empty, **known, "above": content.above, "reach": content.reach}


def _spectrum(look: mask_figures.Look) -> Iterator[Row]:
    for frequency, share in zip(look.content.frequency, look.content.share):
        yield _where(look) | {"frequency": frequency, "share": share}


def _where(look: mask_figures.Look) -> Row:
    one = look.specimen
    told = {"seed": one.cell.seed, "epoch": one.epoch, "epochs": one.epochs, "protocol": one.protocol}
    return {"specimen": one.label, **told, "layer": look.name}


def _text(found: Sequence[mask_figures.History], without: Iterable[str]) -> Iterator[str]:
    yield "Each FlexConv layer's Gaussian mask, the kernel that its crop leaves, and the frequencies of its kernels."
    if names := ", ".join(map(code, without)):
        yield f"\nWithout a FlexConv layer: {names}."
    for history in found:
        yield f"\n**{history.title}, {_when(history)}**\n"
        yield table([_line(looks[0], looks[-1]) for looks in history.layers.values()], left=("layer",))
    yield READ


def _when(history: mask_figures.History) -> str:
    first, last = history.epochs[0], history.epochs[-1]
    age = history.looks[-1].specimen.age or "as it begins"
    return age if first == last else age.replace("epoch", f"epoch {first} →")


def _line(first: mask_figures.Look, last: mask_figures.Look) -> dict[str, str]:
    before, after = ({**sizes(one.layer), **frequencies(one.layer, one.bound, one.content)} for one in (first, last))

    def change(show: Any) -> str:
        return " → ".join(dict.fromkeys((show(before), show(after))))

    return {
        "layer": code(last.name),
        "horizon, px": str(last.layer.horizon),
        "sigma, rows x columns": change(lambda row: f"{short(row['sigma_rows'])} x {short(row['sigma_columns'])}"),
        "mask, px": change(lambda row: f"{short(row['mask_rows'])} x {short(row['mask_columns'])}"),
        "kernel, px": change(lambda row: f"{row['kernel_rows']}x{row['kernel_columns']}"),
        "bound / Nyquist": change(lambda row: short(row["bound"]) or "none"),
        "energy above Nyquist": change(lambda row: f"{row['above']:.1%}"),
    }
