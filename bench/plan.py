"""The jobs of a sweep: the grid of cells, crossed with the metrics."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bench import nets
from bench.spec import ORIGINAL, PROTOCOLS, Cell, Job, Pairs, Protocol, Timing, Training

if TYPE_CHECKING:
    from methods import Entry

IMAGE_CHANNELS = 3
TRAINING = Training()


@dataclass(frozen=True)
class Axes:
    """The axes of a sweep and the settings of its metrics."""

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
    timer: str = "cold"  # of latency on a GPU
    timing: Mapping[str, Any] = field(default_factory=dict)  # overridden settings of the latency protocol
    level: str = "op"
    networks: tuple[str, ...] = ("mixer",)  # measured at level "model"; at level "op" the networks in which accuracy is measured
    data: tuple[str, ...] = ("digits",)
    training: Training = TRAINING  # protocol of accuracy, except for the data set
    seeds: tuple[int, ...] = ()  # of accuracy; empty: those of `seed`


def cells(axes: Axes, known: Mapping[str, Entry]) -> Iterator[Cell]:
    """Yield the grid, setting by setting: the cells of a group are adjacent. Only methods that take a kernel size get one."""
    model = axes.level == "model"
    all_channels = (IMAGE_CHANNELS,) if model else axes.channels
    settings = itertools.product(axes.device, axes.threads, axes.dtype, axes.mode, axes.batch, all_channels, axes.res, axes.seed)
    for device, threads, dtype, mode, batch, channels, (height, width), seed in settings:
        for network in axes.networks if model else ("",):
            for name in methods_inside(network, axes.methods):
                takes = name != ORIGINAL and known[name].takes_kernel
                for kernel in axes.kernel if axes.kernel and takes else (None,):
                    yield Cell(
                        name, height, width, channels, batch, kernel, axes.settings.get(name, ()),
                        axes.level, dtype, device, mode, threads, seed, network=network,
                    )  # fmt: skip


def methods_inside(network: str, selected: tuple[str, ...]) -> tuple[str, ...]:
    """Return the methods to measure in a network. A library's network is also measured as published, our own only so."""
    if not network or nets.is_host(network):
        return selected
    return (ORIGINAL, *selected) if nets.is_from_library(network) else (ORIGINAL,)


def plan(axes: Axes, metrics: Iterable[str], known: Mapping[str, Entry], code: Mapping[str, str]) -> list[Job]:
    """Return every job of a sweep once. Accuracy has its own settings and is measured once for all cells of a method."""
    grid = list(cells(axes, known))
    jobs: dict[Job, None] = {}
    for metric in metrics:
        measured = trainings(grid, axes) if metric == "accuracy" else measurements(grid, metric, axes)
        jobs |= {Job(cell, metric, protocol, code[cell.method]): None for cell, protocol in measured}
    return list(jobs)


def measurements(grid: Iterable[Cell], metric: str, axes: Axes) -> Iterator[tuple[Cell, Protocol]]:
    return ((cell, protocol_of(metric, cell, axes.timer, **axes.timing)) for cell in grid)


def trainings(grid: Iterable[Cell], axes: Axes) -> Iterator[tuple[Cell, Protocol]]:
    """Yield each method in each network on each data set, seed by seed: an interrupted sweep leaves complete seeds."""
    once = list(dict.fromkeys(accuracy_cell(cell, axes.training, network) for cell in grid for network in _hosts(cell, axes)))
    seeds = axes.seeds or axes.seed
    for data, seed in itertools.product(axes.data, seeds):
        for cell in dict.fromkeys(replace(cell, seed=seed) for cell in once):
            yield cell, replace(axes.training, data=data)


def _hosts(cell: Cell, axes: Axes) -> tuple[str, ...]:
    return (cell.network,) if cell.network else axes.networks


def protocol_of(metric: str, cell: Cell, timer: str, **timing: Any) -> Protocol:
    """Return the protocol of a metric for a cell. `timer` applies to GPUs; a CPU always uses the wall clock."""
    protocol = PROTOCOLS.get(metric, Protocol())
    if not isinstance(protocol, Timing):
        return protocol
    protocol = replace(protocol, **timing)
    if cell.device != "cpu":
        protocol = replace(protocol, timer=timer)
    return replace(protocol, max_rounds=max(protocol.rounds, protocol.max_rounds))


def accuracy_cell(cell: Cell, task: Training, network: str = "mixer") -> Cell:
    """Return the cell in which a method's accuracy is measured. The task sets its resolution; the data set its channels."""
    where: dict[str, Any] = {"level": "model", "network": network, "height": task.res, "width": task.res, "channels": 0}
    return replace(cell, **where, batch=task.batch, dtype=task.dtype, mode="train")
