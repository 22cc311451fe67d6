"""Effective reach: the largest distance over which a trained network relates two blobs, from accuracies on `farpair`.

If no receptive field contains both blobs, the logit is a sum of two terms, each of which depends on one blob. Thresholding this sum
is correct for at most three of the four pairs of signs (75%), with a loss no better than that of guessing. A distance counts as
learned if the mean accuracy is at least halfway between 75% and 100%. The effective reach is the largest tested distance up to
which all distances are learned. Distances beyond the receptive field cannot be learned; within it, training may still fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from statistics import fmean
from typing import Any

from bench import names
from bench.spec import Cell, Record
from bench.tables import accuracy
from methods.registry import shipped

TASK, DISTANCE = "farpair", 18  # data set and its default distance
LOCAL_BOUND = 75.0  # highest accuracy, percent, without relating the two blobs
LEARNED = (LOCAL_BOUND + 100) / 2
MIXER_DEFAULTS = {"depth": 2, "patch": 1}  # default options of `mixer`

Curve = dict[int, list[Record]]  # distance -> records of the seeds


def distance_sweeps(records: Iterable[Record]) -> list[dict[Cell, Curve]]:
    """Group the curves of all methods by protocol, ignoring the distance; only groups with at least two distances."""
    sweeps: dict[Any, dict[Cell, Curve]] = {}
    for record in records:
        protocol = accuracy.training(record)
        data = names.parse(protocol.data)
        if data.name == TASK:
            common = replace(record, job=replace(record.job, protocol=replace(protocol, data=without_distance(protocol.data))))
            curve = sweeps.setdefault(accuracy.group_key(common), {}).setdefault(accuracy.without_seed(record), {})
            curve.setdefault(int(dict(data.options).get("distance", DISTANCE)), []).append(record)
    return [sweep for sweep in sweeps.values() if len(distances(sweep)) > 1]


def without_distance(data: str) -> str:
    """Return the name of a data set without its option `distance`."""
    name = names.parse(data)
    return str(name._replace(options=tuple(option for option in name.options if option[0] != "distance")))


def distances(sweep: Mapping[Cell, Curve]) -> list[int]:
    """Return all distances at which any method was tested, sorted."""
    return sorted({distance for curve in sweep.values() for distance in curve})


def means(curve: Curve) -> dict[int, float | None]:
    """Return the mean accuracy over seeds by distance; None if a seed failed."""
    ok = {distance: accuracy.failure(records) is None for distance, records in curve.items()}
    return {distance: fmean(accuracy.accuracies(records)) if ok[distance] else None for distance, records in curve.items()}


def effective_reach(by_distance: Mapping[int, float | None]) -> int:
    """Return the largest distance up to which all distances are learned; 0 if the shortest is not learned or failed (None)."""
    reach = 0
    for distance, mean in sorted(by_distance.items()):
        if mean is None or mean < LEARNED:
            break
        reach = distance
    return reach


def receptive_field(cell: Cell) -> int | None:
    """Return the side of the receptive field in pixels, or None if the names of method and network do not determine it.

    It is known for methods of fixed kernel size in the host `mixer`: patch * (1 + depth * (kernel - 1)).
    """
    kernel = _kernel(cell)
    if kernel is None or not cell.network or (network := names.parse(cell.network)).name != "mixer":
        return None
    host = MIXER_DEFAULTS | dict(network.options)
    return int(host["patch"] * (1 + host["depth"] * (kernel - 1)))


def _kernel(cell: Cell) -> int | None:
    """Return the fixed kernel size of a cell (from sweep, option, name or default); None if it is learned, global or unknown."""
    entry = next((entry for entry in shipped() if entry.name == cell.method), None)
    if entry is None:
        return None
    size = cell.kernel or {**entry.options, **entry.hparams, **dict(cell.params)}.get("kernel_size")
    return size if isinstance(size, int) else None
