"""The jobs of a sweep, from the ranges that the command line gives."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bench.spec import PROTOCOLS, Cell, Job, Pairs, Protocol, Timing, Training

if TYPE_CHECKING:
    from methods import Entry


@dataclass(frozen=True)
class Axes:
    """The ranges of a sweep, as the command line gives them."""

    methods: tuple[str, ...]
    res: tuple[tuple[int, int], ...]
    channels: tuple[int, ...] = (64,)
    batch: tuple[int, ...] = (1,)
    kernel: tuple[int, ...] = ()
    dtype: tuple[str, ...] = ("fp32",)
    mode: tuple[str, ...] = ("infer",)
    device: tuple[str, ...] = ("cpu",)
    threads: tuple[int, ...] = (1,)
    seed: tuple[int, ...] = (0,)
    settings: Mapping[str, Pairs] = field(default_factory=dict)  # method -> overridden options
    timer: str = "cold"  # of latencies on a GPU
    timing: Mapping[str, Any] = field(default_factory=dict)  # other settings of the latency protocol


def cells(axes: Axes, known: Mapping[str, Entry]) -> Iterator[Cell]:
    """The grid, setting by setting so that a group's cells follow each other; a kernel size only where a method takes one."""
    settings = itertools.product(axes.device, axes.threads, axes.dtype, axes.mode, axes.batch, axes.channels, axes.res, axes.seed)
    for device, threads, dtype, mode, batch, channels, (height, width), seed in settings:
        for name in axes.methods:
            for kernel in axes.kernel if axes.kernel and known[name].takes_kernel else (None,):
                yield Cell(
                    name, height, width, channels, batch, kernel, axes.settings.get(name, ()),
                    "op", dtype, device, mode, threads, seed,
                )  # fmt: skip


def plan(axes: Axes, metrics: Iterable[str], known: Mapping[str, Entry], code: Mapping[str, str]) -> list[Job]:
    """Every job of a sweep, once each. Accuracy is measured in its own setting, once for all cells of a method."""
    grid = list(cells(axes, known))
    jobs: dict[Job, None] = {}
    for metric in metrics:
        for cell in grid:
            protocol = protocol_of(metric, cell, axes.timer, **axes.timing)
            where = accuracy_cell(cell, protocol) if isinstance(protocol, Training) else cell
            jobs[Job(where, metric, protocol, code[cell.method])] = None
    return list(jobs)


def protocol_of(metric: str, cell: Cell, timer: str, **timing: Any) -> Protocol:
    """The protocol of a metric on the cell's device: a GPU is read by `timer`, a CPU by the wall clock; `timing` as asked for."""
    protocol = PROTOCOLS.get(metric, Protocol())
    if not isinstance(protocol, Timing):
        return protocol
    asked = replace(protocol, **timing)
    timed = asked if cell.device == "cpu" else replace(asked, timer=timer)
    return replace(timed, max_rounds=max(timed.rounds, timed.max_rounds))


def accuracy_cell(cell: Cell, task: Training) -> Cell:
    """The setting in which a method's accuracy is measured: that of the task, not of the latency cell."""
    return replace(
        cell, level="model", height=task.res, width=task.res, channels=task.width, batch=task.batch, dtype="fp32", mode="train"
    )  # fmt: skip
