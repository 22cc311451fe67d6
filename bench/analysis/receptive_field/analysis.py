"""The effective receptive field: what of the image the middle of the last map depends on, before and after training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from bench import data as sets
from bench.analysis.epochs import histories, titles
from bench.analysis.network import Network
from bench.analysis.output import Findings
from bench.analysis.receptive_field import figures
from bench.analysis.receptive_field.figures import Field, Subject
from bench.analysis.receptive_field.gradient import contributions, settle_norms
from bench.analysis.receptive_field.squares import fewest, squares
from bench.analysis.receptive_field.support import support
from bench.plan import IMAGE_CHANNELS
from bench.report.text import Footnotes, code, table
from bench.workload.build import WrongResult
from bench.workload.failures import diagnose

Row = dict[str, Any]
SHARES = (0.2, 0.5, 0.99)
SEEDS = 5  # of untrained networks
WHOLE = "whole"

COLUMNS = {
    "specimen": "network and method, and what it was trained on",
    "state": "untrained, or trained",
    "seed": "of the beginning, or of the training",
    "epoch": "epochs trained; empty where it was not trained here",
    "epochs": "that its training was to have",
    "protocol": "what it was trained under; the digits at the end stand for all settings",
    "weights": "file of the weights",
    "data": "set of the images, its test part",
    "images": "how many, evenly spaced in it",
    "res": "HxW of the images, px",
    "layer": "module whose output is the last map",
    "map": "HxW of that map, px",
    "share": "of the sum of |gradient| that the areas hold",
    "side": "px: side of the smallest square about the middle that holds it",
    "square": "area of that square, cut at the border, over that of the image",
    "pixels": "the smallest set of pixels that holds it, over those of the image",
    "limit": "HxW of the theoretical receptive field, px; whole: all of the image",
    "status": "ok, or why there is no figure; detail: in words",
    "mass": "share of the sum of |gradient| in the square of that side",
}

READ = """\
Absolute gradient of the sum over channels of one pixel of the last map, the middle one (H // 2, W // 2), with respect to the image:
mean over images and input channels, in evaluation mode. The last map is the last output of a module with more than one pixel, which
the head or the global mean is given. The side is that of the smallest square about the middle of what that pixel stands for, in px,
that holds the share; at the border squares are cut, so a side may exceed the image. In brackets stands the area that the fewest
pixels with that share take, in percent of the image. ± is the standard deviation over seeds. Batch norms of untrained networks have
the statistics of the images. The limit is where a gradient can be at all. Filters with a circular boundary wrap around: what they
take from beyond one border shows at the opposite one. RepLKNet's published areas are of log10(1 + score), which small scores raise,
and of positive gradients alone: they do not compare with these.
"""


def analyse(specimens: Sequence[Network], data: str | None = None, images: int = 64) -> Findings:
    """Tables `receptive_field`, a row a network, seed and share, and `curves`; raises ValueError for what no images are at hand."""
    groups = grouped(specimens)
    names = titles([group[0] for group in groups], _label)
    found = [_subject(name, group, data, images) for name, group in zip(names, groups)]
    tables = {
        "receptive_field": pd.DataFrame([row for subject in found for row in _rows(subject)]),
        "curves": pd.DataFrame([row for subject in found for row in _curves(subject)]),
    }
    return Findings("Effective receptive field", "\n".join(_text(found)), tables, figures.draw(found), COLUMNS)


def grouped(specimens: Iterable[Network]) -> list[list[Network]]:
    """The last kept epoch of each training: together those that differ in the seed alone, and went as far if they did not end."""
    found: dict[Network, list[Network]] = {}
    for epochs in histories(specimens):
        last = epochs[-1]
        alike = replace(last, cell=replace(last.cell, seed=0), weights=None)
        found.setdefault(replace(alike, epoch=None, epochs=None) if last.finished else alike, []).append(last)
    return list(found.values())


def _label(one: Network) -> str:
    return one.label if one.finished else f"{one.label}, {one.age}"


def pictures(one: Network, data: str, count: int) -> Tensor:
    """At most `count` images (N, C, H, W) of the test part, evenly spaced in it, grey ones repeated for a network of colours."""
    height, width = one.size
    if height != width:
        raise ValueError(f"{one.label}: the images of data sets are square, not {height}x{width}")
    if lost := sets.missing(data):
        raise ValueError(lost)
    part = sets.load(data, sets.DataSpec(width)).test
    size = len(part)  # type: ignore[arg-type]
    images = torch.stack([part[int(i)][0] for i in np.linspace(0, size - 1, min(count, size)).round()])
    if images.shape[1] == 1 and one.channels == IMAGE_CHANNELS:
        images = images.expand(-1, IMAGE_CHANNELS, -1, -1)
    if images.shape[1] != one.channels:
        raise ValueError(f"{one.label} takes images of {one.channels} channels, those of '{data}' have {images.shape[1]}")
    return images.to(one.device)


def _subject(title: str, group: Sequence[Network], data: str | None, count: int) -> Subject:
    one = group[0]
    if not (data or one.data):
        raise ValueError(f"{one.label} was not trained here: give --data, the images to look at")
    images = pictures(one, data or one.data, count)
    plain = replace(one, weights=None, epoch=None, epochs=None, protocol="")
    begun = [replace(plain, cell=replace(one.cell, seed=seed)) for seed in range(SEEDS)]
    untrained = [_field(begin, False, images) for begin in begun]
    limit = _limit(one.fresh(0), images) if any(field.status == "ok" for field in untrained) else ""
    for field in untrained:
        field.limit = limit  # whatever the seed
    trained = [_field(end, True, images) for end in group if end.trained]
    return Subject(title, one, data or one.data, len(images), untrained, trained)


def _field(one: Network, trained: bool, images: Tensor) -> Field:
    """What one network's output depends on, or why that is not known; raises ValueError for weights of another network."""
    network = one.network() if trained else None
    try:
        if network is None:
            network = settle_norms(one.fresh(one.cell.seed), images)
        scores, middle = contributions(network, images)
    except Exception as error:  # whatever a network raises: the row says so
        return Field(one, trained, *diagnose(error))
    limit = _limit(network, images) if trained else ""
    return Field(one, trained, "ok", "", scores, middle, squares(scores, middle.centre), limit)


def _limit(network: nn.Module, images: Tensor) -> str:
    """The theoretical receptive field in words; empty where the network cannot run in float64, or its copy passes no gradient."""
    channels, height, width = images.shape[1:]
    try:
        found = support(network, (channels, height, width))
    except (RuntimeError, NotImplementedError, TypeError, WrongResult):
        return ""
    return _size(found) if found else WHOLE


def _size(size: Sequence[int]) -> str:
    return "x".join(map(str, size))


def _rows(subject: Subject) -> Iterator[Row]:
    for field in subject.fields:
        for share in SHARES:
            yield _where(subject, field) | {"share": share, **areas(field, share), "status": field.status, "detail": field.detail}


def _where(subject: Subject, field: Field) -> Row:
    one = field.specimen
    return {
        "specimen": one.label,
        "state": field.state,
        "seed": one.cell.seed,
        "epoch": one.epoch,
        "epochs": one.epochs,
        "protocol": one.protocol,
        "weights": one.weights.name if one.weights else "",
        "data": subject.data,
        "images": subject.images,
        "res": _size(one.size),
        "layer": field.middle.layer if field.middle else "",
        "map": _size(field.middle.size) if field.middle else "",
    }


def areas(field: Field, share: float) -> Row:
    """Side and areas of a share; nothing where the measurement failed."""
    if field.curve is None or field.scores is None:
        return dict.fromkeys(("side", "square", "pixels", "limit"))
    at = field.curve.first(share)
    sides = {"side": int(field.curve.side[at]), "square": field.curve.area[at]}
    return {**sides, "pixels": fewest(field.scores, share), "limit": field.limit}


def _curves(subject: Subject) -> Iterator[Row]:
    for field in subject.fields:
        if field.curve is not None:
            for side, mass in zip(field.curve.side, field.curve.mass):
                yield {**_where(subject, field), "side": int(side), "mass": mass}


def _text(found: Sequence[Subject]) -> Iterator[str]:
    notes = Footnotes()
    lines = [_line(subject, fields, notes) for subject in found for fields in (subject.untrained, subject.trained) if fields]
    yield "What of the image the middle of the last map depends on.\n"
    yield table(lines, left=("network", "state"))
    yield from notes.below()
    yield READ


def _line(subject: Subject, fields: Sequence[Field], notes: Footnotes) -> dict[str, str]:
    ok = [field for field in fields if field.status == "ok"]
    seeds = len({field.specimen.cell.seed for field in fields})
    ages = dict.fromkeys(field.specimen.age for field in fields)
    state = ", ".join(filter(None, (fields[0].state, f"{seeds} seed{'s' * (seeds > 1)}", *ages)))
    start = {"network": code(subject.title), "state": state}
    if failed := [field for field in fields if field.status != "ok"]:
        start["state"] += f", {len(failed)} {notes.failure(failed[0].status, failed[0].detail)}"
    if not ok:
        return start
    limits = ", ".join(dict.fromkeys(field.limit or "unknown" for field in ok))
    shares = {f"{share:.0%}, px": _both(ok, share) for share in SHARES}
    return start | shares | {"limit, px": limits, "image, px": _size(ok[0].specimen.size)}


def _both(fields: Sequence[Field], share: float) -> str:
    """Side and area of the fewest pixels, means over seeds."""
    found = [areas(field, share) for field in fields]
    sides = [row["side"] for row in found]
    spread = f" ±{stdev(sides):.1f}" if len(sides) > 1 else ""
    return f"{fmean(sides):.1f}{spread} ({100 * fmean(row['pixels'] for row in found):.1f}%)".replace(".0 ", " ")
