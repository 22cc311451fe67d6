"""The vocabulary of the harness.

A sweep is a grid of **cells** (method, level, resolution, channels, kernel, batch, dtype, device, mode, threads, seed).
A cell crossed with a **metric** is a **job**. A job, run anywhere and whatever befalls it, gives exactly one **record**.
Records are appended to a journal (JSON lines, fsync), the only source of truth.
The tidy table (one row a cell), the leaderboard and every figure are pure functions of the journal.
Jobs that differ only in their method form a **group**: latency is measured in rounds that are interleaved across the group.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

STATUS = ("ok", "unsupported", "skipped", "oom", "timeout", "crashed", "error", "wrong_result")  # all but ok carry nulls
ORIGINAL = "original"  # in place of a method: a network as it was published, with no operator exchanged
NOT_FAILED = ("ok", "unsupported", "skipped")  # any other status is a failure
Pairs = tuple[tuple[str, Any], ...]


CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def digest(value: Any) -> str:
    """Sixteen hex digits of the canonical JSON of a value: the same on every machine."""
    return hashlib.sha256(CANONICAL.encode(value).encode()).hexdigest()[:16]


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
    level: str = "op"  # "op": the operator alone; "model": inside a network, which maps images of height x width to classes
    dtype: str = "fp32"  # "fp32", or "bf16": float32 weights under bfloat16 autocast
    device: str = "cpu"
    mode: str = "infer"  # "infer": frozen forward; "train": forward and backward
    threads: int = 1
    seed: int = 0
    alias: str = ""  # tells cells apart that are equal otherwise, where a method is compared with itself
    network: str = ""  # at level "model": its name and options, such as "mixer[depth=2]"

    @property
    def label(self) -> str:
        """The method as a reader knows it: name, then what was overridden; with its network where that is measured."""
        extra = [*self.params, *([("kernel", self.kernel)] if self.kernel else [])]
        named = self.method + (f"[{','.join(f'{k}={v}' for k, v in extra)}]" if extra else "")
        if self.network:
            named = self.network if self.method == ORIGINAL else f"{self.network} + {named}"
        return f"{named} ({self.alias})" if self.alias else named

    @property
    def res(self) -> str:
        return str(self.height) if self.height == self.width else f"{self.height}x{self.width}"


@dataclass(frozen=True)
class Protocol:
    """How a metric is taken: only what bears on the number. Metrics without settings use this empty one."""


@dataclass(frozen=True)
class Timing(Protocol):
    """Latency: rounds interleaved across the group, in each a warm-up and then calls for about `round_seconds`.

    The group goes on until every method's interval is within `target` of its figure: `rounds` at least, `max_rounds` at most.
    """

    timer: str = "wall"  # "wall": the host's clock; on a GPU "cold", "hot", "graph" or "wall"
    rounds: int = 10
    max_rounds: int = 25
    target: float = 0.02
    round_seconds: float = 0.05
    min_calls: int = 3
    max_calls: int = 20


@dataclass(frozen=True)
class Energy(Protocol):
    """Energy: windows of calls, interleaved across the group, after a time of rest whose power is subtracted."""

    windows: int = 3
    window_seconds: float = 3.0
    idle_seconds: float = 1.0


@dataclass(frozen=True)
class Training(Protocol):
    """Accuracy: the data and how a network is trained on them, the same for every method."""

    data: str = "digits"
    res: int = 16
    eval_res: tuple[int, ...] = ()  # evaluated at these resolutions too, without training there
    batch: int = 32  # of all processes together
    epochs: int = 10
    seconds: float | None = None  # instead of `epochs`: as many as are predicted to fit
    optimizer: str = "adamw"  # timm's names, of which "sgd" has Nesterov's momentum and "momentum" the plain one, both of 0.9
    lr: tuple[float, ...] = (2e-2,)  # where several: each is tried, the best on the validation part is used
    search_epochs: int = 2  # of a try
    weight_decay: float = 0.05
    decay_all: bool = False  # also of vectors and of operators' own parameters
    schedule: str = "cosine"  # or "multistep": times 0.1 at each of `milestones`
    milestones: tuple[int, ...] = ()
    warmup: int = 1  # epochs of rising learning rate, among those of `epochs`
    clip: float = 0.0  # largest norm of the gradient; 0: any
    augment: str = "none"  # "flip", or timm's policies such as "rand-m9-mstd0.5-inc1"
    erase: float = 0.0  # probability of random erasing
    mixup: float = 0.0
    cutmix: float = 0.0
    smoothing: float = 0.0
    ema: float = 0.0  # decay of the average of the weights that is evaluated; 0: none
    dtype: str = "fp32"  # or "bf16", by autocast
    channels_last: bool = False


PROTOCOLS: dict[str, Protocol] = {"latency": Timing(), "energy": Energy(), "accuracy": Training()}


INTERLEAVED = (
    "latency",
    "energy",
)  # metrics whose rounds depend on the machine's mood; the others are taken one job after the other


@dataclass(frozen=True)
class Limits:
    """What ends or forbids a job; no part of its key, for no figure depends on it."""

    timeout: float = 300.0  # seconds of a job's own time, then it is killed
    cell_seconds: float = 120.0  # seconds that a job may be predicted to take, or it is skipped
    memory: int | None = None  # bytes that a job may be predicted to take, and on a CPU may take, above those of its process
    scratch: str = ""  # folder where a training keeps its state, to go on from if it is killed; empty: nowhere
    save_every: float = 60.0  # seconds between two states of a training
    at_once: int = 1  # trainings on a CPU that run side by side
    weights: str = ""  # folder where the weights of finished trainings stay; empty: they are dropped
    each_epoch: bool = False  # also those before the first and after every epoch


@dataclass(frozen=True)
class Job:
    """A cell, a metric and its protocol; `code` is a digest of the sources, so an edited method is measured anew."""

    cell: Cell
    metric: str
    protocol: Protocol = field(default_factory=Protocol)
    code: str = ""

    def to_json(self) -> dict[str, Any]:
        # not `asdict`, whose deep copies are most of the time of reading a large journal
        return {"cell": {**vars(self.cell)}, "metric": self.metric, "protocol": {**vars(self.protocol)}, "code": self.code}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Job:
        cell = data["cell"]
        params = tuple((name, _as_tuple(value)) for name, value in cell["params"])
        make = Cell if params else _shared_cell
        protocol = _known(type(PROTOCOLS.get(data["metric"], Protocol())), data["protocol"])
        return Job(make(**{**cell, "params": params}), data["metric"], protocol, data["code"])

    def key(self) -> str:
        """The resume key."""
        return digest(self.to_json())

    def group(self) -> str:
        """Jobs of one group differ only in their method (its name, options and kernel size) or their network."""
        data = self.to_json() | {"code": ""}
        data["cell"] |= {"method": "", "params": (), "kernel": None, "alias": "", "network": ""}
        return digest(data)


@dataclass(frozen=True)
class Record:
    """The end of a job: a status, and values only where it is ok."""

    job: Job
    status: str
    detail: str = ""
    values: dict[str, float | str | None] = field(default_factory=dict)
    rounds: dict[str, list[float | None]] = field(default_factory=dict)  # one figure a round: milliseconds a call by clock, or an
    # epoch's loss, penalty, validation accuracy by name
    evals: dict[str, float | str] = field(default_factory=dict)  # accuracy by resolution, or why there is none
    prediction: dict[str, float] = field(default_factory=dict)  # seconds and bytes that a skipped job would take
    samples: dict[str, Any] = field(default_factory=dict)  # raw; kept in a file of their own beside the journal
    env: str = ""
    session: float = 0.0  # start of the run that measured it: records of one session are interleaved, others are not
    started: float = 0.0  # seconds since 1970
    seconds: float = 0.0


def protocol_name(cell: Cell, protocol: Training) -> str:
    """What an accuracy was measured under, but for the method and the seed: accuracies of one name may be ranked together.

    The digits at the end stand for all settings of the protocol, the network and the precision.
    """
    length = f"{protocol.epochs} epochs" if protocol.seconds is None else f"{protocol.seconds:g} s"
    everything = digest([vars(protocol), cell.network, cell.device.partition(":")[0]])
    return ", ".join(filter(None, (f"{protocol.data} {protocol.res} px", cell.network, length, everything[:6])))


@lru_cache(maxsize=2**16, typed=True)
def _shared_cell(**fields: Any) -> Cell:
    """One object for the records of all metrics of a cell: most of the time and half of the memory of a large journal."""
    return Cell(**fields)


def _known(cls: Any, data: Mapping[str, Any]) -> Protocol:
    """A protocol of another version is read as far as this one knows it; its record keeps its key."""
    defaults = {name: field.default for name, field in cls.__dataclass_fields__.items()}
    kept = {name: _as_tuple(value) for name, value in data.items() if name in defaults}
    kept |= {name: (one,) for name, one in kept.items() if isinstance(defaults[name], tuple) and not isinstance(one, tuple)}
    made: Protocol = _shared_protocol(kind=cls, **kept)
    return made


@lru_cache(maxsize=2**10, typed=True)
def _shared_protocol(kind: Any, **fields: Any) -> Any:
    return kind(**fields)


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(item) for item in value) if isinstance(value, list) else value
