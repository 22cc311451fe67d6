"""Which method suits a setting within limits: an answer from journals alone, with its evidence. Plain Python, no torch.

Only cells of exactly the wanted setting speak; nothing is extrapolated from others. Machines are answered for one by one, for
latencies of two machines do not rank methods. A limit is kept where the whole 95% interval is within it, broken where all of it is
outside, and unclear where it is crossed. Among the methods that keep every limit the fastest is recommended, together with those
that the rounds do not tell apart from it.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bench.columns import of
from bench.journal import Journal
from bench.report.recommend import limits
from bench.report.recommend.limits import STATES, Check
from bench.report.text import missing
from bench.spec import Record
from bench.stats import ranking
from bench.stats import ratios as comparison
from bench.stats.rounds import Interval
from bench.system import machine
from bench.tables import accuracy as learned
from bench.tables.cells import Row, complete_rows, headline, timing

USUAL = {"batch": 1, "dtype": "fp32", "mode": "infer", "threads": 1, "device": None}
NEAREST = 3
Seeds = list[Record]


@dataclass(frozen=True)
class Query:
    """A setting, and the limits there: milliseconds and bytes of a call, percent of a network with the operator inside."""

    height: int
    width: int
    channels: int
    batch: int = 1
    dtype: str = "fp32"
    mode: str = "infer"
    threads: int = 1  # of a CPU
    device: str | None = None  # any
    max_latency_ms: float | None = None
    max_memory: float | None = None
    min_accuracy: float | None = None
    data: str | None = None  # the task of the accuracy; the one that most methods were trained on

    def matches(self, row: Row) -> bool:
        axes = ("height", "width", "channels", "batch", "dtype", "mode")
        threads = row["device"] != "cpu" or row["threads"] == self.threads
        return threads and self.device in (None, row["device"]) and all(row[name] == getattr(self, name) for name in axes)


@dataclass(frozen=True)
class Candidate:
    """A method at the setting: its newest row, its accuracy where one is asked for, and how it stands to each limit."""

    row: Row
    checks: tuple[Check, ...]
    accuracy: Interval | None = None

    @property
    def label(self) -> str:
        return str(self.row["label"])

    @cached_property
    def state(self) -> str:
        """That of the worst of its limits."""
        return max((check.state for check in self.checks), key=STATES.index)


@dataclass(frozen=True)
class MachineAnswer:
    """The methods of one machine and clock, the fastest first, those without a latency last."""

    env: Mapping[str, Any]
    device: str
    timer: str | None
    candidates: tuple[Candidate, ...]
    trained: Record | None = None  # one of the trainings that the accuracies are of: they differ in method and seed
    here: bool = False  # on a machine like this one

    @property
    def contest(self) -> str:
        """Under which the accuracies were trained; empty where none are compared."""
        return learned.comparison_group(self.trained) if self.trained else ""

    def standing(self, state: str) -> list[Candidate]:
        return [candidate for candidate in self.candidates if candidate.state == state]

    @cached_property
    def recommended(self) -> list[Candidate]:
        """The fastest that keeps every limit, and those that are not told apart from it."""
        kept = self.standing("kept")
        places = ranking.ranks(kept, lambda one, first: comparison.verdict_of(timing(one.row), timing(first.row)) == "slower")
        return [candidate for candidate, place in zip(kept, places) if place == 1]


@dataclass(frozen=True)
class Answer:
    """What each machine recommends, this one first, then the newest; where none was measured, the nearest settings that were."""

    wish: Query
    places: tuple[MachineAnswer, ...]
    nearest: tuple[Row, ...] = ()
    tasks: tuple[str, ...] = field(default=())  # that methods were trained on, as `Wish.data` names them

    @property
    def recommended(self) -> list[Candidate]:
        return [candidate for place in self.places for candidate in place.recommended]


def recommend(journals: Sequence[Journal], wish: Query) -> Answer:
    """The answer of what journals hold."""
    envs = {(journal.name, name): env for journal in journals for name, env in journal.envs.items()}
    rows = [row | {"run": journal.name, "baseline": journal.baseline} for journal in journals for row in _operators(journal)]
    trained = [record for journal in journals for record in learned.trained(journal) if learned.host(record.job.cell) is not None]
    shown = {learned.comparison_group(record) for journal in journals for record in headline(learned.trained(journal), journal)}
    groups: dict[Any, list[Row]] = {}
    for row in newest(filter(wish.matches, rows)):
        groups.setdefault((row["env"], row["device"], row["timer"]), []).append(row)
    places = [_place(_environment(same, envs), same, trained, shown, wish) for same in groups.values()]
    places.sort(key=lambda place: (not place.here, -max(_session(one.row) for one in place.candidates)))
    tasks = tuple(dict.fromkeys(learned.training(record).data for record in trained))
    return Answer(wish, tuple(places), () if places else nearest(rows, wish), tasks)


def _operators(journal: Journal) -> Iterable[Row]:
    """The rows of operators whose latency was asked for."""
    return (row for row in complete_rows(journal) if row["level"] == "op" and not missing(row["latency_status"]))


def _environment(rows: Sequence[Row], envs: Mapping[tuple[str, str], Mapping[str, Any]]) -> Mapping[str, Any]:
    """The environment as the run that measured the newest row describes it: other runs had another commit, and maybe ceilings."""
    last = max(rows, key=_session)
    return envs.get((last["run"], last["env"]), {"id": last["env"]})


def _session(row: Row) -> float:
    return float(row["latency_session"] or 0.0)


def newest(rows: Iterable[Row]) -> list[Row]:
    """The newest measurement of each method on each machine; a memory that it lacks is that of an older one."""
    found: dict[Any, Row] = {}
    for row in sorted(rows, key=_session):
        key = row["label"], row["env"], row["device"], row["timer"]
        older = found.get(key)
        lacks = older is not None and missing(row["memory_status"])
        names = (*of("memory"), "memory_status", "memory_detail") if lacks else ()
        found[key] = row | {name: older[name] for name in names if older}
    return list(found.values())


def _place(
    env: Mapping[str, Any], rows: Sequence[Row], trained: Sequence[Record], shown: Collection[str], wish: Query
) -> MachineAnswer:
    seeds: dict[str, Seeds] = {}
    if wish.min_accuracy is not None:
        seeds = comparison_group(trained, {row["label"] for row in rows}, env["id"], wish.data, shown)
    found = [_candidate(row, seeds.get(row["label"], []), wish) for row in rows]
    found.sort(key=lambda one: math.inf if missing(one.row["latency_ms"]) else one.row["latency_ms"])
    first = next((records[0] for records in seeds.values()), None)
    return MachineAnswer(env, rows[0]["device"], rows[0]["timer"], tuple(found), first, machine.is_this(env))


def comparison_group(
    trained: Iterable[Record], labels: set[str], env: str, data: str | None, shown: Collection[str] = ()
) -> dict[str, Seeds]:
    """{label: trainings} of the one contest whose accuracies are compared.

    It is that which most of the methods took part in, with several seeds if possible; of equal ones that of a run's tables, then
    one in the environment `env`, then the newest.
    """
    found: dict[tuple[Any, ...], dict[str, dict[int, Record]]] = {}
    for record in sorted(trained, key=lambda record: record.started):
        if data in (None, learned.training(record).data):
            cell = record.job.cell
            found.setdefault(learned.place(record), {}).setdefault(learned.label(cell), {})[cell.seed] = record
    if not found:
        return {}

    def weight(place: tuple[Any, ...]) -> tuple[Any, ...]:
        seeds = [found[place][label] for label in labels & found[place].keys()]
        started = max(record.started for of_method in found[place].values() for record in of_method.values())
        return sum(len(one) > 1 for one in seeds), len(seeds), place[0] in shown, place[1] == env, started

    return {label: list(seeds.values()) for label, seeds in found[max(found, key=weight)].items()}


def _candidate(row: Row, seeds: Seeds, wish: Query) -> Candidate:
    accuracy = learned.interval(learned.accuracies(seeds)) if seeds and not learned.failure(seeds) else None
    checks = [limits.latency(row, wish.max_latency_ms)]
    checks += [limits.memory(row, wish.max_memory)] if wish.max_memory is not None else []
    checks += [limits.accuracy(accuracy, seeds, wish.min_accuracy)] if wish.min_accuracy is not None else []
    return Candidate(row, tuple(checks), accuracy)


def nearest(rows: Iterable[Row], wish: Query) -> tuple[Row, ...]:
    """A row of each of the settings with latencies that differ least from the wanted one: in few axes, then in size."""

    def distance(row: Row) -> tuple[int, float]:
        kinds = sum(row[name] != getattr(wish, name) for name in ("dtype", "mode", "threads", "batch"))
        kinds += wish.device not in (None, row["device"])
        sizes = math.log(row["height"] * row["width"] / wish.height / wish.width), math.log(row["channels"] / wish.channels)
        return kinds, abs(sizes[0]) / 2 + abs(sizes[1])

    settings = {
        tuple(row[name] for name in ("height", "width", "channels", "batch", "dtype", "mode", "device", "threads")): row
        for row in rows
        if row["latency_status"] == "ok" and row["channels"]
    }
    return tuple(sorted(settings.values(), key=distance)[:NEAREST])


def command(wish: Query, out: str, methods: Sequence[str] = ("all",), closer: bool = False) -> str:
    """What measures these methods at the setting, as far as the limits ask; `closer`: with narrower intervals."""
    size = dict.fromkeys((wish.height, wish.width))
    words = ["--methods", ",".join(methods), "--res", "x".join(map(str, size)), "--channels", f"{wish.channels}"]
    for name, usual in USUAL.items():
        words += [f"--{name}", f"{getattr(wish, name)}"] if getattr(wish, name) != usual else []
    learnt = wish.min_accuracy is not None
    words += ["--metrics", ",".join(["params", "flops", "latency", "memory", *(["accuracy"] if learnt else [])])]
    words += ["--rounds", "50", "--max-rounds", "100"] if closer else []
    words += ["--seeds", "10" if closer else "3"] if learnt else []
    words += ["--data", wish.data] if learnt and wish.data else []
    return shlex.join(["python", "-m", "bench", "run", *words, "-o", out])


def missing_run(answer: Answer, out: str) -> str:
    """The command whose figures could change that nothing is recommended for this machine.

    Empty where something is, or where every method was measured here and is outside a limit.
    """
    here = [place for place in answer.places if place.here]
    if not here:
        return command(answer.wish, out)
    if any(place.recommended for place in here):
        return ""
    first = here[0]
    open_ = first.standing("unclear") or [one for one in first.standing("unknown") if one.row["latency_status"] == "ok"]
    names = list(dict.fromkeys(one.row["method"] for one in open_ if one.row["params"] == "{}" and not one.row["kernel"]))
    return command(answer.wish, out, names, bool(first.standing("unclear"))) if names else ""
