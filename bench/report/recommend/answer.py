"""Recommendation of a method for a setting within limits, from journals alone. Does not import torch.

Only cells of exactly the requested setting are used; nothing is extrapolated. Each machine has its own answer, because latencies of
different machines do not rank methods. A limit is satisfied if the whole 95% interval is within it, violated if the whole interval
is outside, and inconclusive otherwise. Recommended is the fastest of the methods that satisfy every limit, with those tied with it.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from bench.axes import PER_CELL, Axis, in_reading_order, size_text
from bench.columns import columns_of
from bench.journal import Journal
from bench.report.recommend import limits
from bench.report.recommend.limits import STATES, Check
from bench.report.text import missing
from bench.spec import Record
from bench.stats import ranking, ratios
from bench.stats.rounds import Interval
from bench.system import machine
from bench.tables import accuracy
from bench.tables.cells import complete_rows, headline_trainings
from bench.tables.row import Row

AXES_QUERIED = tuple(axis for axis in PER_CELL if axis.name != "seed")
NEAREST = 3
Seeds = list[Record]


@dataclass(frozen=True)
class Query:
    """A setting and its limits: latency and memory per call, and the accuracy of a network with the operator."""

    setting: Mapping[str, Any]  # the columns of `AXES_QUERIED`; device None: any. The threads apply to a CPU only
    max_latency_ms: float | None = None
    max_memory: float | None = None  # bytes
    min_accuracy: float | None = None  # percent
    data: str | None = None  # task of the accuracy; None: the one on which most methods were trained

    def matches(self, row: Row) -> bool:
        """Return True if the row is of this setting."""
        return not any(self.differs(axis, row) for axis in AXES_QUERIED)

    def differs(self, axis: Axis, row: Row) -> bool:
        """Return True if the row has another value of an axis."""
        if axis.name == "threads" and row["device"] != "cpu":
            return False
        return axis.value(self.setting) not in (axis.value(row.values), *([None] if axis.name == "device" else []))

    def as_data(self) -> dict[str, Any]:
        """Return the query as JSON data."""
        return {**self.setting, **{name: value for name, value in vars(self).items() if name != "setting"}}


@dataclass(frozen=True)
class Candidate:
    """A method at the setting: its newest row, its checks against the limits, and its accuracy if that is limited."""

    row: Row
    checks: tuple[Check, ...]
    accuracy: Interval | None = None

    @property
    def label(self) -> str:
        return str(self.row["label"])

    @cached_property
    def state(self) -> str:
        """The worst state of its checks."""
        return max((check.state for check in self.checks), key=STATES.index)


@dataclass(frozen=True)
class MachineAnswer:
    """The methods of one machine and timer, sorted by latency, those without a latency last."""

    env: Mapping[str, Any]
    device: str
    timer: str | None
    candidates: tuple[Candidate, ...]
    trained: Record | None = None  # one of the trainings of the accuracies, which differ only in method and seed
    here: bool = False  # the machine equals this one

    @property
    def comparison_group(self) -> str:
        """The comparison group of the accuracies; empty if none are used."""
        return accuracy.comparison_group(self.trained) if self.trained else ""

    def in_state(self, state: str) -> list[Candidate]:
        """Return the candidates in a state."""
        return [candidate for candidate in self.candidates if candidate.state == state]

    @cached_property
    def recommended(self) -> list[Candidate]:
        """The fastest candidate that satisfies every limit, and those tied with it."""
        satisfied = self.in_state("satisfied")
        ranks = ranking.ranks([candidate.row.latency() for candidate in satisfied], ratios.slower)
        return [candidate for candidate, rank in zip(satisfied, ranks) if rank == 1]


@dataclass(frozen=True)
class Answer:
    """The answer of each machine, this one first, then by date; without measurements the nearest measured settings."""

    query: Query
    machines: tuple[MachineAnswer, ...]
    nearest: tuple[Row, ...] = ()
    tasks: tuple[str, ...] = field(default=())  # tasks of all trainings, as in `Query.data`

    @property
    def recommended(self) -> list[Candidate]:
        """The recommended candidates of all machines."""
        return [candidate for machine in self.machines for candidate in machine.recommended]


def recommend(journals: Sequence[Journal], query: Query) -> Answer:
    """Answer a query from journals."""
    envs = {(journal.name, name): env for journal in journals for name, env in journal.envs.items()}
    rows = [row for journal in journals for row in _operators(journal)]
    trainings = [(journal, accuracy.training_records(journal)) for journal in journals]
    trained = [record for _, records in trainings for record in records if accuracy.host(record.job.cell) is not None]
    shown = {accuracy.comparison_group(record) for pair in trainings for record in headline_trainings(pair[1], pair[0])}
    groups: dict[Any, list[Row]] = {}
    for row in newest(filter(query.matches, rows)):
        groups.setdefault((row["env"], row["device"], row["timer"]), []).append(row)
    machines = [_answer_machine(_environment(group, envs), group, trained, shown, query) for group in groups.values()]
    machines.sort(key=lambda answer: (not answer.here, -max(_session(candidate.row) for candidate in answer.candidates)))
    tasks = tuple(dict.fromkeys(accuracy.training(record).data for record in trained))
    return Answer(query, tuple(machines), () if machines else nearest(rows, query), tasks)


def _operators(journal: Journal) -> Iterable[Row]:
    """Return the rows of operators whose latency was requested, with the name and the baseline of their run."""
    rows = (row for row in complete_rows(journal) if row["level"] == "op" and not missing(row["latency_status"]))
    of_run = {"run": journal.name, "baseline": journal.baseline}
    return (replace(row, values=row.values | of_run) for row in rows)


def _environment(rows: Sequence[Row], envs: Mapping[tuple[str, str], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the environment as recorded by the run of the newest row; other runs may differ in commit and peak rates."""
    last = max(rows, key=_session)
    return envs.get((last["run"], last["env"]), {"id": last["env"]})


def _session(row: Row) -> float:
    return float(row["latency_session"] or 0.0)


def newest(rows: Iterable[Row]) -> list[Row]:
    """Return the newest row of each method and machine; if it lacks a memory, that of an older row is used."""
    latest: dict[Any, Row] = {}
    for row in sorted(rows, key=_session):
        key = row["label"], row["env"], row["device"], row["timer"]
        older = latest.get(key)
        lacks = older is not None and missing(row["memory_status"])
        names = (*columns_of("memory"), "memory_status", "memory_detail") if lacks else ()
        latest[key] = replace(row, values=row.values | {name: older[name] for name in names if older})
    return list(latest.values())


def _answer_machine(
    env: Mapping[str, Any], rows: Sequence[Row], trained: Sequence[Record], shown: Collection[str], query: Query
) -> MachineAnswer:
    seeds: dict[str, Seeds] = {}
    if query.min_accuracy is not None:
        seeds = select_trainings(trained, {row["label"] for row in rows}, env["id"], query.data, shown)
    candidates = [_candidate(row, seeds.get(row["label"], []), query) for row in rows]
    candidates.sort(key=lambda candidate: math.inf if missing(candidate.row["latency_ms"]) else candidate.row["latency_ms"])
    first = next((records[0] for records in seeds.values()), None)
    return MachineAnswer(env, rows[0]["device"], rows[0]["timer"], tuple(candidates), first, machine.is_this(env))


def select_trainings(
    trained: Iterable[Record], labels: set[str], env: str, data: str | None, shown: Collection[str] = ()
) -> dict[str, Seeds]:
    """Return {label: trainings} of the comparison group whose accuracies are used.

    It is the group with several seeds of the most methods, then the one with the most methods. Ties prefer a group of `shown`, then
    the environment `env`, then the newest.
    """
    groups: dict[tuple[Any, ...], dict[str, dict[int, Record]]] = {}
    for record in sorted(trained, key=lambda record: record.started):
        if data in (None, accuracy.training(record).data):
            cell = record.job.cell
            groups.setdefault(accuracy.group_key(record), {}).setdefault(accuracy.label(cell), {})[cell.seed] = record
    if not groups:
        return {}

    def preference(key: tuple[Any, ...]) -> tuple[Any, ...]:
        by_method = [groups[key][label] for label in labels & groups[key].keys()]
        started = max(record.started for seeds in groups[key].values() for record in seeds.values())
        return sum(len(seeds) > 1 for seeds in by_method), len(by_method), key[0] in shown, key[1] == env, started

    return {label: list(seeds.values()) for label, seeds in groups[max(groups, key=preference)].items()}


def _candidate(row: Row, seeds: Seeds, query: Query) -> Candidate:
    interval = accuracy.interval(accuracy.accuracies(seeds)) if seeds and not accuracy.failure(seeds) else None
    checks = [limits.latency(row, query.max_latency_ms)]
    checks += [limits.memory(row, query.max_memory)] if query.max_memory is not None else []
    checks += [limits.accuracy(interval, seeds, query.min_accuracy)] if query.min_accuracy is not None else []
    return Candidate(row, tuple(checks), interval)


def nearest(rows: Iterable[Row], query: Query) -> tuple[Row, ...]:
    """Return one row of each of the nearest measured settings: fewest different axes first, then the nearest in size."""

    sizes = ("res", "channels")
    wanted = query.setting

    def distance(row: Row) -> tuple[int, float]:
        axes = sum(query.differs(axis, row) for axis in AXES_QUERIED if axis.name not in sizes)
        area = math.log(row["height"] * row["width"] / wanted["height"] / wanted["width"])
        return axes, abs(area) / 2 + abs(math.log(row["channels"] / wanted["channels"]))

    settings = {
        tuple(axis.value(row.values) for axis in AXES_QUERIED): row
        for row in rows
        if row["latency_status"] == "ok" and row["channels"]
    }
    return tuple(sorted(settings.values(), key=distance)[:NEAREST])


def command(query: Query, out: str, methods: Sequence[str] = ("all",), precise: bool = False) -> str:
    """Return the command that measures these methods at the setting; `precise` requests narrower intervals."""
    options = ["--methods", ",".join(methods)]
    for axis in filter(AXES_QUERIED.__contains__, in_reading_order()):
        value = axis.value(query.setting)
        if axis.name in ("res", "channels") or value not in (None, *axis.default):
            options += [f"--{axis.name}", size_text(query.setting) if axis.name == "res" else f"{value}"]
    train = query.min_accuracy is not None
    options += ["--metrics", ",".join(["params", "flops", "latency", "memory", *(["accuracy"] if train else [])])]
    options += ["--rounds", "50", "--max-rounds", "100"] if precise else []
    options += ["--seeds", "10" if precise else "3"] if train else []
    options += ["--data", query.data] if train and query.data else []
    return shlex.join(["python", "-m", "bench", "run", *options, "-o", out])


def suggested_command(answer: Answer, out: str) -> str:
    """Return the command whose measurements could lead to a recommendation for this machine.

    Empty if there is a recommendation, or if every method was measured here and violates a limit.
    """
    here = [machine for machine in answer.machines if machine.here]
    if not here:
        return command(answer.query, out)
    if any(machine.recommended for machine in here):
        return ""
    inconclusive, unmeasured = here[0].in_state("inconclusive"), here[0].in_state("not measured")
    undecided = [candidate.row for candidate in inconclusive] or [
        candidate.row for candidate in unmeasured if candidate.row["latency_status"] == "ok"
    ]
    names = list(dict.fromkeys(row["method"] for row in undecided if row["params"] == "{}" and not row["kernel"]))
    return command(answer.query, out, names, bool(inconclusive)) if names else ""
