"""The vocabulary of the harness.

A sweep is a grid of **cells** (method, level, resolution, channels, kernel, batch, dtype, device, mode, threads, seed).
A cell and a **metric** make a **job**. Every job yields exactly one **record**, also on failure.
Records are appended to a journal (JSON lines, fsync), the only source of truth.
The tidy table (one row per cell), the leaderboard and every figure are pure functions of the journal.
Jobs that differ only in their method form a **group**. Latency is measured in rounds that are interleaved across the group.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

STATUS = ("ok", "unsupported", "skipped", "oom", "timeout", "crashed", "error", "wrong_result")  # all but ok carry nulls
LEVELS = ("op", "model")  # one operator, or a network
ORIGINAL = "original"  # the method of a network as published, with no operator replaced
NOT_FAILED = ("ok", "unsupported", "skipped")  # any other status is a failure
UNTIMED_CALLS = 3  # per round of a latency: two whose output is validated, and a warm-up
Pairs = tuple[tuple[str, Any], ...]
CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def digest(value: Any) -> str:
    """Return sixteen hex digits of the SHA-256 of a value's canonical JSON. They are the same on every machine."""
    return hashlib.sha256(CANONICAL.encode(value).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Cell:
    """One method in one setting: the unit of measurement."""

    method: str
    height: int
    width: int
    channels: int = 64
    batch: int = 1
    kernel: int | None = None  # kernel size, for methods that take one
    params: Pairs = ()  # overridden options of the method
    level: str = "op"  # "op": the operator alone; "model": a network that maps images of height x width to classes
    dtype: str = "fp32"  # "fp32", or "bf16": float32 weights under bfloat16 autocast
    device: str = "cpu"
    mode: str = "infer"  # "infer": frozen forward; "train": forward and backward
    threads: int = 1
    seed: int = 0
    alias: str = ""  # distinguishes otherwise equal cells when a method is compared with itself
    network: str = ""  # at level "model": name and options, such as "mixer[depth=2]"

    @property
    def label(self) -> str:
        """The method's name with overridden options and kernel size, after the network's name at level "model"."""
        extra = [*self.params, *([("kernel", self.kernel)] if self.kernel else [])]
        name = self.method + (f"[{','.join(f'{k}={v}' for k, v in extra)}]" if extra else "")
        if self.network:
            name = self.network if self.method == ORIGINAL else f"{self.network} + {name}"
        return f"{name} ({self.alias})" if self.alias else name

    @property
    def series(self) -> str:
        """The label without the kernel size: what one line of a plot stands for."""
        return replace(self, kernel=None).label

    @property
    def operator(self) -> str:
        """The label without the network."""
        return replace(self, network="").label

    @property
    def res(self) -> str:
        """The resolution: "224", or "64x96" if it is not square."""
        return str(self.height) if self.height == self.width else f"{self.height}x{self.width}"


@dataclass(frozen=True)
class Protocol:
    """Settings of a metric that affect its value. Metrics without settings use this empty base class."""

    def duration(self, call: float) -> float | None:
        """Return the minimum seconds of a job whose calls take `call` seconds; None if the settings do not determine it."""
        return None


@dataclass(frozen=True)
class Timing(Protocol):
    """Latency: rounds interleaved across the group. A round is a warm-up and then about `round_seconds` of calls.

    The group stops once the half-width of every method's interval is below `target`, after at least `rounds` and at most
    `max_rounds` rounds.
    """

    timer: str = "wall"  # "wall": host clock; on a GPU "cold", "hot", "graph" or "wall"
    rounds: int = 10
    max_rounds: int = 25
    target: float = 0.02
    round_seconds: float = 0.05
    min_calls: int = 3
    max_calls: int = 20

    def duration(self, call: float) -> float:
        return call * self.rounds * (UNTIMED_CALLS + self.min_calls)


@dataclass(frozen=True)
class Energy(Protocol):
    """Energy: windows of calls, interleaved across the group. The idle power before each window is subtracted."""

    windows: int = 3
    window_seconds: float = 3.0
    idle_seconds: float = 1.0

    def duration(self, call: float) -> float:
        return (max(call, self.window_seconds) + self.idle_seconds) * self.windows


@dataclass(frozen=True)
class Training(Protocol):
    """Accuracy: the data set and the training protocol, the same for every method."""

    data: str = "digits"
    res: int = 16
    eval_res: tuple[int, ...] = ()  # additional resolutions for evaluation, without training on them
    batch: int = 32  # global batch size, over all processes
    epochs: int = 10
    seconds: float | None = None  # time budget; replaces `epochs` by the number predicted to fit
    optimizer: str = "adamw"  # a name of timm; "sgd" uses Nesterov momentum, "momentum" plain momentum, both 0.9
    lr: tuple[float, ...] = (2e-2,)  # candidates; the best on the validation split is used
    search_epochs: int = 2  # epochs per candidate learning rate
    weight_decay: float = 0.05
    decay_all: bool = False  # also decay vectors and the operators' parameters
    schedule: str = "cosine"  # or "multistep": multiply by 0.1 at each of `milestones`
    milestones: tuple[int, ...] = ()
    warmup: int = 1  # epochs of linear warm-up, included in `epochs`
    clip: float = 0.0  # maximum gradient norm; 0 disables clipping
    augment: str = "none"  # "flip", or a policy of timm such as "rand-m9-mstd0.5-inc1"
    erase: float = 0.0  # probability of random erasing
    mixup: float = 0.0
    cutmix: float = 0.0
    smoothing: float = 0.0
    ema: float = 0.0  # decay of the weight average that is evaluated; 0 disables it
    dtype: str = "fp32"  # or "bf16": autocast
    channels_last: bool = False


PROTOCOLS: dict[str, Protocol] = {"latency": Timing(), "energy": Energy(), "accuracy": Training()}


@dataclass(frozen=True)
class Limits:
    """What ends or prevents a job. Not part of the resume key: no value depends on it."""

    timeout: float = 300.0  # seconds per job; the job is killed after them
    cell_seconds: float = 120.0  # a job predicted to take longer is skipped
    memory: int | None = None  # bytes above those of the process; a job predicted to exceed them is skipped, on a CPU also stopped
    scratch: str = ""  # folder for checkpoints of trainings; empty: none are written
    save_every: float = 60.0  # seconds between two checkpoints
    at_once: int = 1  # number of trainings that run in parallel on a CPU
    weights: str = ""  # folder for the weights of finished trainings; empty: they are not saved
    each_epoch: bool = False  # also save the initial weights and those of every epoch


@dataclass(frozen=True)
class Job:
    """A cell, a metric and its protocol. `code` is a digest of the sources: an edited method is measured again."""

    cell: Cell
    metric: str
    protocol: Protocol = field(default_factory=Protocol)
    code: str = ""

    def to_json(self) -> dict[str, Any]:
        # `asdict` makes deep copies, which take most of the time of reading a large journal
        return {"cell": {**vars(self.cell)}, "metric": self.metric, "protocol": {**vars(self.protocol)}, "code": self.code}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Job:
        cell = data["cell"]
        params = tuple((name, _as_tuple(value)) for name, value in cell["params"])
        make = Cell if params else _shared_cell
        protocol = _read_protocol(type(PROTOCOLS.get(data["metric"], Protocol())), data["protocol"])
        return Job(make(**{**cell, "params": params}), data["metric"], protocol, data["code"])

    def key(self) -> str:
        """Return the resume key: a digest of the job."""
        return digest(self.to_json())

    def group(self) -> str:
        """Return the key of the job's group. Jobs of a group differ only in method, options, kernel size or network."""
        data = self.to_json() | {"code": ""}
        data["cell"] |= {"method": "", "params": (), "kernel": None, "alias": "", "network": ""}
        return digest(data)


@dataclass(frozen=True)
class Evaluation:
    """The accuracy of a trained network at one resolution, or the status and the reason of a failure."""

    res: int
    way: str  # adaptation of operators of fixed map size; empty if the network has none or was trained at `res`
    accuracy: float | None  # percent; None on failure
    status: str = "ok"
    detail: str = ""


@dataclass(frozen=True)
class Record:
    """The result of a job: a status, and values if the status is ok."""

    job: Job
    status: str
    detail: str = ""
    values: dict[str, float | str | None] = field(default_factory=dict)
    rounds: dict[str, list[float | None]] = field(default_factory=dict)  # one value per round: milliseconds per call by clock, or
    # per epoch: loss, penalty and validation accuracy by name
    evals: list[Evaluation] = field(default_factory=list)  # of a training, at the resolutions of the protocol
    prediction: dict[str, float] = field(default_factory=dict)  # predicted seconds and bytes of a skipped job
    samples: dict[str, Any] = field(default_factory=dict)  # raw samples; stored in a separate file next to the journal
    env: str = ""  # id of the environment
    session: float = 0.0  # start of the run that measured it; only records of one session are interleaved
    started: float = 0.0  # seconds since 1970
    seconds: float = 0.0


def protocol_name(cell: Cell, protocol: Training) -> str:
    """Return the name of a training protocol. Accuracies may be ranked together if their protocol names are equal.

    The name covers everything except method and seed. It ends in `protocol_digest`.
    """
    length = f"{protocol.epochs} epochs" if protocol.seconds is None else f"{protocol.seconds:g} s"
    parts = (f"{protocol.data} {protocol.res} px", cell.network, length, protocol_digest(cell, protocol))
    return ", ".join(filter(None, parts))


def protocol_digest(cell: Cell, protocol: Training) -> str:
    """Return six hex digits that identify all settings of a training protocol, the network and the kind of device."""
    return digest([vars(protocol), cell.network, cell.device.partition(":")[0]])[:6]


def read_evaluations(data: Sequence[Mapping[str, Any]] | Mapping[str, float | str]) -> list[Evaluation]:
    """Read the evaluations of a record from a journal.

    Older versions stored a mapping from "24" or "24 interpolated" to the accuracy, or to "status: detail" on failure.
    """
    if not isinstance(data, Mapping):
        return [Evaluation(**fields) for fields in data]
    return [_older_evaluation(key, result) for key, result in data.items()]


def _older_evaluation(key: str, result: float | str) -> Evaluation:
    res, _, way = key.partition(" ")
    if not isinstance(result, str):
        return Evaluation(int(res), way, result)
    status, _, detail = result.partition(": ")
    return Evaluation(int(res), way, None, status, detail)


@lru_cache(maxsize=2**16, typed=True)
def _shared_cell(**fields: Any) -> Cell:
    """Return one object per cell for the records of all its metrics. Halves the memory of a large journal."""
    return Cell(**fields)


def _read_protocol(cls: Any, data: Mapping[str, Any]) -> Protocol:
    """Read a protocol, without the settings that this version does not know. The record keeps its key."""
    defaults = {name: field.default for name, field in cls.__dataclass_fields__.items()}
    known = {name: _as_tuple(value) for name, value in data.items() if name in defaults}
    known |= {name: (value,) for name, value in known.items() if isinstance(defaults[name], tuple) and not isinstance(value, tuple)}
    protocol: Protocol = _shared_protocol(kind=cls, **known)
    return protocol


@lru_cache(maxsize=2**10, typed=True)
def _shared_protocol(kind: Any, **fields: Any) -> Any:
    return kind(**fields)


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(item) for item in value) if isinstance(value, list) else value
