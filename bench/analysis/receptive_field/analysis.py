"""The effective receptive field: the pixels on which the centre of the last map depends, before and after training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from bench import data
from bench.analysis.epochs import joined, last_epochs, title_suffixes
from bench.analysis.network import Network
from bench.analysis.output import Findings
from bench.analysis.receptive_field import figures
from bench.analysis.receptive_field.figures import Comparison, Field
from bench.analysis.receptive_field.gradient import calibrate_batch_norms, mean_abs_gradient
from bench.analysis.receptive_field.squares import smallest_area, squares
from bench.analysis.receptive_field.support import support
from bench.plan import IMAGE_CHANNELS
from bench.report import markdown
from bench.report.blocks import Block, Code, Footnotes, Inline, Paragraph, Table, join
from bench.workload.build import WrongResult
from bench.workload.failures import diagnose

Row = dict[str, Any]
SHARES = (0.2, 0.5, 0.99)
SEEDS = 5  # of untrained networks
WHOLE = "whole"

COLUMNS = {
    "specimen": "network, method and training data set",
    "state": "untrained or trained",
    "seed": "seed of the initialisation or of the training",
    "epoch": "number of epochs trained; empty if not trained with this program",
    "epochs": "total number of epochs of the training",
    "protocol": "training protocol; the digits at the end identify all settings",
    "weights": "file of the weights",
    "data": "data set of the images (test split)",
    "images": "number of images, evenly spaced in the test split",
    "res": "HxW of the images, px",
    "layer": "module that returns the last map",
    "map": "HxW of the last map, px",
    "share": "share of the sum of |gradient|",
    "side": "side of the smallest centred square that holds the share, px",
    "square": "area of that square, clipped at the border, relative to the image",
    "pixels": "area of the smallest set of pixels that holds the share, relative to the image",
    "limit": "HxW of the theoretical receptive field, px; whole: the whole image",
    "status": "ok, or why there is no value; detail: the reason",
    "mass": "share of the sum of |gradient| in the square of that side",
}

READING_NOTES = """\
The measure is the absolute gradient of the centre pixel (H // 2, W // 2) of the last map, summed over channels, with respect to
the image. It is averaged over images and input channels, in evaluation mode. The last map is the last output of a module with
more than one pixel: the input of the global mean or of the head. Each cell shows the side in px of the smallest square around the
centre of that pixel that holds the share; squares are clipped at the border, so a side may exceed the image. In brackets is the
area of the smallest set of pixels that holds the share, in percent of the image. ± is the standard deviation over seeds. The
batch norms of untrained networks have the statistics of the images. The limit is the theoretical receptive field. Filters with a
circular boundary wrap around: what they read beyond one border appears at the opposite one. The areas are not comparable with
those that RepLKNet publishes: those are areas of log10(1 + score), which raises small scores, and of positive gradients only.
"""


def analyse(networks: Sequence[Network], data_name: str | None = None, images: int = 64) -> Findings:
    """Measure the effective receptive fields of networks, untrained and trained.

    The tables are `receptive_field`, one row per network, seed and share, and `curves`. Raises ValueError if the images of a
    network are not available or its weights are of another network.
    """
    groups = group_seeds(networks)
    first = [group[0] for group in groups]
    suffixes = map(joined, map(_progress, first), title_suffixes(first, _label))
    comparisons = [_compare(suffix, group, data_name, images) for suffix, group in zip(suffixes, groups)]
    tables = {
        "receptive_field": pd.DataFrame([row for comparison in comparisons for row in _rows(comparison)]),
        "curves": pd.DataFrame([row for comparison in comparisons for row in _curve_rows(comparison)]),
    }
    return Findings("Effective receptive field", markdown.document(_text(comparisons)), tables, figures.draw(comparisons), COLUMNS)


def group_seeds(networks: Iterable[Network]) -> list[list[Network]]:
    """Return the last saved epoch of each training, grouped: the members of a group differ only in the seed.

    Unfinished trainings are grouped only with trainings of the same number of epochs.
    """
    groups: dict[Network, list[Network]] = {}
    for last in last_epochs(networks):
        key = replace(last, cell=replace(last.cell, seed=0), weights=None, training="")
        groups.setdefault(replace(key, epoch=None, epochs=None) if last.finished else key, []).append(last)
    return list(groups.values())


def _label(network: Network) -> str:
    return joined(network.label, _progress(network))


def _progress(network: Network) -> str:
    """Return the epochs trained if the training is unfinished."""
    return "" if network.finished else network.progress


def load_images(network: Network, data_name: str, count: int) -> Tensor:
    """Return at most `count` images (N, C, H, W) of the test split, evenly spaced in it.

    Grey images are repeated over the channels of a network for colour images. Raises ValueError if the data set is missing or does
    not fit the network.
    """
    height, width = network.size
    if height != width:
        raise ValueError(f"{network.label}: images of data sets are square, not {height}x{width}")
    if reason := data.DataSet(data_name).missing():
        raise ValueError(reason)
    test = data.DataSet(data_name).load(data.DataSpec(width)).test
    size = len(test)  # type: ignore[arg-type]
    images = torch.stack([test[int(i)][0] for i in np.linspace(0, size - 1, min(count, size)).round()])
    if images.shape[1] == 1 and network.channels == IMAGE_CHANNELS:
        images = images.expand(-1, IMAGE_CHANNELS, -1, -1)
    if images.shape[1] != network.channels:
        expected, channels = network.channels, images.shape[1]
        raise ValueError(f"{network.label} needs images of {expected} channels; those of '{data_name}' have {channels}")
    return images.to(network.device)


def _compare(suffix: str, group: Sequence[Network], data_name: str | None, count: int) -> Comparison:
    network = group[0]
    name = data_name or network.data
    if not name:
        raise ValueError(f"{network.label} was not trained with this program: select the images with --data")
    images = load_images(network, name, count)
    plain = replace(network, weights=None, epoch=None, epochs=None, training="", protocol="", protocol_digest="")
    copies = [replace(plain, cell=replace(network.cell, seed=seed)) for seed in range(SEEDS)]
    untrained = [_measure(copy, False, images) for copy in copies]
    limit = _limit(network.untrained_module(0), images) if any(field.status == "ok" for field in untrained) else ""
    for field in untrained:
        field.limit = limit  # independent of the seed
    trained = [_measure(member, True, images) for member in group if member.trained]
    return Comparison(suffix, network, name, len(images), untrained, trained)


def _measure(network: Network, trained: bool, images: Tensor) -> Field:
    """Measure one network. Failures are its status. Raises ValueError for weights of another network."""
    module = network.module() if trained else None
    try:
        if module is None:
            module = calibrate_batch_norms(network.untrained_module(network.cell.seed), images)
        scores, pixel = mean_abs_gradient(module, images)
    except Exception as error:  # a network may raise anything; the row reports it
        return Field(network, trained, *diagnose(error))
    limit = _limit(module, images) if trained else ""
    return Field(network, trained, "ok", "", scores, pixel, squares(scores, pixel.centre), limit)


def _limit(module: nn.Module, images: Tensor) -> str:
    """Format the theoretical receptive field; "" if the network does not run in float64 or its copy has no gradient."""
    channels, height, width = images.shape[1:]
    try:
        size = support(module, (channels, height, width))
    except (RuntimeError, NotImplementedError, TypeError, WrongResult):
        return ""
    return _format_size(size) if size else WHOLE


def _format_size(size: Sequence[int]) -> str:
    return "x".join(map(str, size))


def _rows(comparison: Comparison) -> Iterator[Row]:
    for field in comparison.fields:
        for share in SHARES:
            state = {"status": field.status, "detail": field.detail}
            yield _keys(comparison, field) | {"share": share, **areas(field, share), **state}


def _keys(comparison: Comparison, field: Field) -> Row:
    """Return the columns that identify a measurement."""
    network = field.network
    return {
        "specimen": network.label,
        "state": field.state,
        "seed": network.cell.seed,
        "epoch": network.epoch,
        "epochs": network.epochs,
        "protocol": network.protocol,
        "weights": network.weights.name if network.weights else "",
        "data": comparison.data,
        "images": comparison.images,
        "res": _format_size(network.size),
        "layer": field.pixel.layer if field.pixel else "",
        "map": _format_size(field.pixel.size) if field.pixel else "",
    }


def areas(field: Field, share: float) -> Row:
    """Return the side and the areas that hold a share, and the limit; None for each if the measurement failed."""
    if field.curve is None or field.scores is None:
        return dict.fromkeys(("side", "square", "pixels", "limit"))
    index = field.curve.first(share)
    square = {"side": int(field.curve.side[index]), "square": field.curve.area[index]}
    return {**square, "pixels": smallest_area(field.scores, share), "limit": field.limit}


def _curve_rows(comparison: Comparison) -> Iterator[Row]:
    for field in comparison.fields:
        if field.curve is not None:
            for side, mass in zip(field.curve.side, field.curve.mass):
                yield {**_keys(comparison, field), "side": int(side), "mass": mass}


def _text(comparisons: Sequence[Comparison]) -> Iterator[Block]:
    notes = Footnotes()
    states = [(comparison, fields) for comparison in comparisons for fields in (comparison.untrained, comparison.trained) if fields]
    yield Paragraph("The part of the image on which the centre pixel of the last map depends.")
    lines = [_line(comparison, fields, notes) for comparison, fields in states]
    yield Table(lines, left=("network", "state"), notes=notes.texts)
    yield Paragraph(prose=READING_NOTES)


def _line(comparison: Comparison, fields: Sequence[Field], notes: Footnotes) -> dict[str, Inline]:
    measured = [field for field in fields if field.status == "ok"]
    seeds = len({field.network.cell.seed for field in fields})
    progress = dict.fromkeys(field.network.progress for field in fields)
    state = ", ".join(filter(None, (fields[0].state, f"{seeds} seed{'s' * (seeds > 1)}", *progress)))
    line: dict[str, Inline] = {"network": Code(comparison.title), "state": state}
    if failed := [field for field in fields if field.status != "ok"]:
        line["state"] = join(state, f", {len(failed)} ", notes.failure(failed[0].status, failed[0].detail))
    if not measured:
        return line
    limits = ", ".join(dict.fromkeys(field.limit or "unknown" for field in measured))
    shares = {f"{share:.0%}, px": _format_areas(measured, share) for share in SHARES}
    return line | shares | {"limit, px": limits, "image, px": _format_size(measured[0].network.size)}


def _format_areas(fields: Sequence[Field], share: float) -> str:
    """Format the side of the square and the area of the smallest set of pixels, means over seeds."""
    rows = [areas(field, share) for field in fields]
    sides = [row["side"] for row in rows]
    spread = f" ±{stdev(sides):.1f}" if len(sides) > 1 else ""
    return f"{fmean(sides):.1f}{spread} ({100 * fmean(row['pixels'] for row in rows):.1f}%)".replace(".0 ", " ")
