"""The jobs of a sweep, from the ranges that the command line gives."""

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
    level: str = "op"
    networks: tuple[str, ...] = ("mixer",)  # what is measured at level "model"; at level "op", where accuracy is measured
    data: tuple[str, ...] = ("digits",)
    training: Training = TRAINING  # of accuracy, but for the data
    seeds: tuple[int, ...] = ()  # of accuracy; as `seed` where empty


def cells(axes: Axes, known: Mapping[str, Entry]) -> Iterator[Cell]:
    """The grid, setting by setting so that a group's cells follow each other; a kernel size only where a method takes one."""
    model = axes.level == "model"
    channels = (IMAGE_CHANNELS,) if model else axes.channels
    settings = itertools.product(axes.device, axes.threads, axes.dtype, axes.mode, axes.batch, channels, axes.res, axes.seed)
    for device, threads, dtype, mode, batch, width, (height, across), seed in settings:
        for network in axes.networks if model else ("",):
            for name in methods_inside(network, axes.methods):
                takes = name != ORIGINAL and known[name].takes_kernel
                for kernel in axes.kernel if axes.kernel and takes else (None,):
                    yield Cell(
                        name, height, across, width, batch, kernel, axes.settings.get(name, ()),
                        axes.level, dtype, device, mode, threads, seed, network=network,
                    )  # fmt: skip


def methods_inside(network: str, chosen: tuple[str, ...]) -> tuple[str, ...]:
    """The methods that are measured inside a network: of a library's network also itself, of one of our own itself alone."""
    if not network or nets.is_host(network):
        return chosen
    return (ORIGINAL, *chosen) if nets.is_open(network) else (ORIGINAL,)


def plan(axes: Axes, metrics: Iterable[str], known: Mapping[str, Entry], code: Mapping[str, str]) -> list[Job]:
    """Every job of a sweep, once each. Accuracy is measured in its own settings, once for all cells of a method."""
    grid = list(cells(axes, known))
    jobs: dict[Job, None] = {}
    for metric in metrics:
        found = trainings(grid, axes) if metric == "accuracy" else measurements(grid, metric, axes)
        jobs |= {Job(cell, metric, protocol, code[cell.method]): None for cell, protocol in found}
    return list(jobs)


def measurements(grid: Iterable[Cell], metric: str, axes: Axes) -> Iterator[tuple[Cell, Protocol]]:
    return ((cell, protocol_of(metric, cell, axes.timer, **axes.timing)) for cell in grid)


def trainings(grid: Iterable[Cell], axes: Axes) -> Iterator[tuple[Cell, Protocol]]:
    """Each method in each network on each data set with each seed, seed by seed, so that what is done can be compared."""
    once = list(dict.fromkeys(accuracy_cell(cell, axes.training, network) for cell in grid for network in _hosts(cell, axes)))
    seeds = axes.seeds or axes.seed
    for data, seed in itertools.product(axes.data, seeds):
        for cell in dict.fromkeys(replace(cell, seed=seed) for cell in once):
            yield cell, replace(axes.training, data=data)


def _hosts(cell: Cell, axes: Axes) -> tuple[str, ...]:
    return (cell.network,) if cell.network else axes.networks


def protocol_of(metric: str, cell: Cell, timer: str, **timing: Any) -> Protocol:
    """The protocol of a metric on the cell's device: a GPU is read by `timer`, a CPU by the wall clock; `timing` as asked for."""
    protocol = PROTOCOLS.get(metric, Protocol())
    if not isinstance(protocol, Timing):
        return protocol
    asked = replace(protocol, **timing)
    timed = asked if cell.device == "cpu" else replace(asked, timer=timer)
    return replace(timed, max_rounds=max(timed.rounds, timed.max_rounds))


def accuracy_cell(cell: Cell, task: Training, network: str = "mixer") -> Cell:
    """The setting in which a method's accuracy is measured: the task's, not the latency cell's. Channels as the data have."""
    where: dict[str, Any] = {"level": "model", "network": network, "height": task.res, "width": task.res, "channels": 0}
    return replace(cell, **where, batch=task.batch, dtype=task.dtype, mode="train")
