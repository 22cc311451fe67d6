"""The vocabulary of the harness.

A sweep is a grid of **cells** (method, level, resolution, channels, kernel, batch, dtype, device, mode, threads, seed).
A cell crossed with a **metric** is a **job**. A job, run anywhere and whatever befalls it, gives exactly one **record**.
Records are appended to a journal (JSON lines, fsync), the only source of truth.
The tidy table (one row a cell), the leaderboard and every figure are pure functions of the journal.
Jobs that differ only in their method form a **group**: latency is measured in rounds that are interleaved across the group.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from methods import Entry

STATUS = ("ok", "unsupported", "skipped", "oom", "timeout", "crashed", "error", "wrong_result")  # all but ok carry nulls
Pairs = tuple[tuple[str, Any], ...]


def digest(value: Any) -> str:
    """Sixteen hex digits of the canonical JSON of a value: the same on every machine."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Cell:
    """What is measured: one method in one setting."""

    method: str
    height: int
    width: int
    channels: int = 64
    batch: int = 1
    kernel: int | None = None  # for methods that take one
    params: Pairs = ()  # overridden options of the method
    level: str = "op"  # "op": the operator alone; "model": inside the host network
    dtype: str = "fp32"  # "fp32", or "bf16": float32 weights under bfloat16 autocast
    device: str = "cpu"
    mode: str = "infer"  # "infer": frozen forward; "train": forward and backward
    threads: int = 1
    seed: int = 0

    @property
    def label(self) -> str:
        """The method as a reader knows it: name, then what was overridden."""
        extra = [*self.params, *([("kernel", self.kernel)] if self.kernel else [])]
        return self.method + (f"[{','.join(f'{k}={v}' for k, v in extra)}]" if extra else "")

    @property
    def res(self) -> str:
        return str(self.height) if self.height == self.width else f"{self.height}x{self.width}"


@dataclass(frozen=True)
class Protocol:
    """How a metric is taken: only what bears on the number. Metrics without settings use this empty one."""


@dataclass(frozen=True)
class Timing(Protocol):
    """Latency: `rounds` interleaved across the group, in each a warm-up and then calls for about `round_seconds`."""

    rounds: int = 5
    round_seconds: float = 0.2
    min_calls: int = 3
    max_calls: int = 50


@dataclass(frozen=True)
class Training(Protocol):
    """Accuracy: the host network, the data set and the schedule, the same for every method."""

    data: str = "digits"
    res: int = 16
    width: int = 16
    depth: int = 2
    batch: int = 32
    epochs: int = 10
    lr: float = 2e-2
    weight_decay: float = 0.05
    warmup: int = 1  # epochs of rising learning rate, among those of `epochs`


PROTOCOLS: dict[str, Protocol] = {"latency": Timing(), "accuracy": Training()}


INTERLEAVED = ("latency",)  # metrics whose rounds depend on the machine's mood; the others are taken one job after the other


@dataclass(frozen=True)
class Job:
    """A cell, a metric and its protocol; `code` is a digest of the sources, so an edited method is measured anew."""

    cell: Cell
    metric: str
    protocol: Protocol = field(default_factory=Protocol)
    code: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Job:
        cell = dict(data["cell"])
        cell["params"] = tuple((name, _as_tuple(value)) for name, value in cell["params"])
        protocol = _known(type(PROTOCOLS.get(data["metric"], Protocol())), data["protocol"])
        return Job(Cell(**cell), data["metric"], protocol, data["code"])

    def key(self) -> str:
        """The resume key."""
        return digest(self.to_json())

    def group(self) -> str:
        """Jobs of one group differ only in their method (its name, options and kernel size)."""
        data = self.to_json() | {"code": ""}
        data["cell"] |= {"method": "", "params": (), "kernel": None}
        return digest(data)


@dataclass(frozen=True)
class Record:
    """The end of a job: a status, and values only where it is ok."""

    job: Job
    status: str
    detail: str = ""
    values: dict[str, float | str | None] = field(default_factory=dict)
    samples: dict[str, Any] = field(default_factory=dict)
    env: str = ""
    session: float = 0.0  # start of the run that measured it: records of one session are interleaved, others are not
    started: float = 0.0  # seconds since 1970
    seconds: float = 0.0


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
        protocol = PROTOCOLS.get(metric, Protocol())
        for cell in grid:
            where = accuracy_cell(cell, protocol) if isinstance(protocol, Training) else cell
            jobs[Job(where, metric, protocol, code[cell.method])] = None
    return list(jobs)


def accuracy_cell(cell: Cell, task: Training) -> Cell:
    """The setting in which a method's accuracy is measured: that of the task, not of the latency cell."""
    return replace(
        cell, level="model", height=task.res, width=task.res, channels=task.width, batch=task.batch, dtype="fp32", mode="train"
    )  # fmt: skip


def _known(cls: type[Protocol], data: Mapping[str, Any]) -> Protocol:
    """A protocol of another version is read as far as this one knows it; its record keeps its key."""
    return cls(**{name: value for name, value in data.items() if name in cls.__dataclass_fields__})


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(item) for item in value) if isinstance(value, list) else value
