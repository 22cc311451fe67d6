"""Usable reach: how far apart two things may be for a trained network to relate them, from accuracies on `farpair`.

A network that never sees both blobs at once decides by a sum of one term each. A threshold on it is right on three of the four
pairs of signs at best, so a short kernel may be seen to reach 75%, at a loss no better than that of guessing. An accuracy counts
as learned from half way between that and 100% on; the usable reach is the largest tested distance up to which every mean counts
so. Beyond the receptive field nothing can be learned, whatever the training; within it a method may fall short of its limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from statistics import fmean
from typing import Any

from bench import names
from bench.spec import Cell, Record
from bench.tables import accuracy as learned
from methods.registry import shipped

TASK, DISTANCE = "farpair", 18  # the data set, and the distance where it is asked for without one
APART = 75.0  # percent that is in reach without relating the two
LEARNED = (APART + 100) / 2
HOST = {"depth": 2, "patch": 1}  # what `mixer` is without options

Curve = dict[int, list[Record]]  # distance -> records of the seeds


def families(records: Iterable[Record]) -> list[dict[Cell, Curve]]:
    """Curves of all methods, together where their protocols differ in nothing but the distance; of two distances or more."""
    found: dict[Any, dict[Cell, Curve]] = {}
    for record in records:
        protocol = learned.training(record)
        data = names.parse(protocol.data)
        if data.name == TASK:
            alike = replace(record, job=replace(record.job, protocol=replace(protocol, data=common(protocol.data))))
            curve = found.setdefault(learned.place(alike), {}).setdefault(learned.method(record), {})
            curve.setdefault(int(dict(data.options).get("distance", DISTANCE)), []).append(record)
    return [family for family in found.values() if len(distances(family)) > 1]


def common(data: str) -> str:
    """The data set but for its distance."""
    word = names.parse(data)
    return str(word._replace(options=tuple(option for option in word.options if option[0] != "distance")))


def distances(family: Mapping[Cell, Curve]) -> list[int]:
    """Every distance at which some method was tested."""
    return sorted({distance for curve in family.values() for distance in curve})


def means(curve: Curve) -> dict[int, float | None]:
    """Mean accuracy over seeds by distance; None where a seed failed."""
    ok = {distance: learned.failure(records) is None for distance, records in curve.items()}
    return {distance: fmean(learned.accuracies(records)) if ok[distance] else None for distance, records in curve.items()}


def usable(by_distance: Mapping[int, float | None]) -> int:
    """The largest distance up to which every mean counts as learned; 0 where the shortest does not, or failed (None)."""
    reach = 0
    for distance, mean in sorted(by_distance.items()):
        if mean is None or mean < LEARNED:
            break
        reach = distance
    return reach


def provable_limit(cell: Cell) -> int | None:
    """Side of the receptive field in pixels, beyond which nothing can be learned; None where names do not tell it.

    Known in the host `mixer` of a method whose kernel size is fixed: patch * (1 + depth * (kernel - 1)).
    """
    kernel = _kernel(cell)
    if kernel is None or not cell.network or (network := names.parse(cell.network)).name != "mixer":
        return None
    host = HOST | dict(network.options)
    return int(host["patch"] * (1 + host["depth"] * (kernel - 1)))


def _kernel(cell: Cell) -> int | None:
    """The kernel size that a sweep, an option, a name or a default fixes; None where it is learned, global or unknown."""
    entry = next((entry for entry in shipped() if entry.name == cell.method), None)
    if entry is None:
        return None
    size = cell.kernel or {**entry.options, **entry.hparams, **dict(cell.params)}.get("kernel_size")
    return size if isinstance(size, int) else None
