"""The jobs of a sweep: the grid of cells, crossed with the metrics."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bench import nets
from bench.axes import BY_NAME, PER_CELL
from bench.spec import ORIGINAL, PROTOCOLS, Cell, Job, Pairs, Protocol, Timing, Training

if TYPE_CHECKING:
    from methods import Entry

IMAGE_CHANNELS = 3


@dataclass(frozen=True)
class Trainings:
    """The trainings of a sweep: the protocol except for the data set, the data sets, and the seeds; empty: those of the axis."""

    protocol: Training = field(default_factory=Training)
    data: tuple[str, ...] = ("digits",)
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The cells of a sweep and the settings of its metrics."""

    methods: tuple[str, ...]
    axes: Mapping[str, tuple[Any, ...]]  # values by name of the axis; those of `bench.axes` if missing
    params: Mapping[str, Pairs] = field(default_factory=dict)  # method -> overridden options
    level: str = "op"
    networks: tuple[str, ...] = ("mixer",)  # measured at level "model"; at level "op" the networks in which accuracy is measured
    timer: str = "cold"  # of latency on a GPU
    timing: Mapping[str, Any] = field(default_factory=dict)  # overridden settings of the latency protocol
    trainings: Trainings = field(default_factory=Trainings)

    def values(self, axis: str) -> tuple[Any, ...]:
        """Return the values of an axis. A network takes images."""
        if axis == "channels" and self.level == "model":
            return (IMAGE_CHANNELS,)
        return self.axes.get(axis, BY_NAME[axis].default)


def resolve(devices: Sequence[str], gpus: int) -> tuple[str, ...]:
    """Return devices with their index. "auto" is the first GPU, else the CPU. Raises ValueError for a missing GPU."""
    resolved = []
    for device in devices:
        name = ("cuda:0" if gpus else "cpu") if device == "auto" else "cuda:0" if device == "cuda" else device
        if name.startswith("cuda") and int(name[5:]) >= gpus:
            raise ValueError(f"device {device} does not exist: {gpus} CUDA device{'s' if gpus != 1 else ''} found")
        resolved.append(name)
    return tuple(dict.fromkeys(resolved))


def on_machine(grid: Grid, gpus: int) -> Grid:
    """Return the grid with the devices of a machine with that number of GPUs. Raises ValueError for a missing GPU."""
    return replace(grid, axes={**grid.axes, "device": resolve(grid.values("device"), gpus)})


def cells(grid: Grid, known: Mapping[str, Entry]) -> Iterator[Cell]:
    """Yield the grid, setting by setting: the cells of a group are adjacent. Only methods that take a kernel size get one."""
    for point in itertools.product(*(grid.values(axis.name) for axis in PER_CELL)):
        fields: dict[str, Any] = {"level": grid.level}
        for axis, value in zip(PER_CELL, point):
            fields |= axis.fields(value)
        for network in grid.networks if grid.level == "model" else ("",):
            for name in methods_inside(network, grid.methods):
                takes = name != ORIGINAL and known[name].takes_kernel
                for kernel in grid.values("kernel") if takes else (None,):
                    yield Cell(name, kernel=kernel, params=grid.params.get(name, ()), network=network, **fields)


def methods_inside(network: str, selected: tuple[str, ...]) -> tuple[str, ...]:
    """Return the methods to measure in a network. A library's network is also measured as published, our own only so."""
    kind = nets.kind_of(network) if network else "host"
    return {"host": selected, "own": (ORIGINAL,), "library": (ORIGINAL, *selected)}[kind]


def plan(grid: Grid, metrics: Iterable[str], known: Mapping[str, Entry], code: Mapping[str, str]) -> list[Job]:
    """Return every job of a sweep once. Accuracy has its own settings and is measured once for all cells of a method."""
    planned = list(cells(grid, known))
    jobs: dict[Job, None] = {}
    for metric in metrics:
        measured = trainings(planned, grid) if metric == "accuracy" else measurements(planned, metric, grid)
        jobs |= {Job(cell, metric, protocol, code[cell.method]): None for cell, protocol in measured}
    return list(jobs)


def measurements(planned: Iterable[Cell], metric: str, grid: Grid) -> Iterator[tuple[Cell, Protocol]]:
    return ((cell, protocol_of(metric, cell, grid.timer, **grid.timing)) for cell in planned)


def trainings(planned: Iterable[Cell], grid: Grid) -> Iterator[tuple[Cell, Protocol]]:
    """Yield each method in each network on each data set, seed by seed: an interrupted sweep leaves complete seeds."""
    task = grid.trainings
    hosts = ((cell, network) for cell in planned for network in ((cell.network,) if cell.network else grid.networks))
    once = list(dict.fromkeys(accuracy_cell(cell, task.protocol, network) for cell, network in hosts))
    for data, seed in itertools.product(task.data, task.seeds or grid.values("seed")):
        for cell in dict.fromkeys(replace(cell, seed=seed) for cell in once):
            yield cell, replace(task.protocol, data=data)


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
