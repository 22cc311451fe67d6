"""Whether this machine's latencies can be trusted today, found by measuring what is known beforehand.

Three experiments, with the protocols of `ab` and of a sweep. A method against itself: every verdict but "same" and "unclear" is
false. An operator against itself with a twentieth more to do: what is not found slower is missed. The same sweep twice: how far do
two runs agree on latencies and on the ranking.
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.names import setting_text
from bench.plan import protocol_of
from bench.runner.ab import ROUNDS, Trial, fixed_rounds, trial
from bench.spec import Cell, Job, Limits, Protocol, Record
from bench.stats import ranking
from bench.stats import ratios as comparison

if TYPE_CHECKING:
    from bench.executors.process import Pool

PLUGIN = str(Path(__file__).with_name("injected_slowdown.py"))
SPIN = """
import os
parent = os.getppid()
while os.getppid() == parent:
    sum(range(100_000))
"""
TIMES = (20, 21)  # of the planted difference: 5%
FALSE, FOUND, TAU = 0.05, 0.90, 0.98  # false verdicts at most, planted differences found at least, agreement of rankings at least


@dataclass(frozen=True)
class Experiment:
    """How an audit is made: trials of each kind, cores kept busy meanwhile, the timer on a GPU, what ends a job."""

    trials: int = 20
    load: int = 0
    timer: str = "cold"
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Audit:
    """What the experiments gave. Shares are of trials, spreads are standard deviations relative to the mean."""

    setting: str
    load: int  # cores kept busy meanwhile
    trials: int
    false_positives: int
    found: int  # of `trials` planted differences
    wrong_way: int  # planted differences that were called faster
    failed: int  # trials, and methods of a sweep
    spread: float  # of the latency of the method against itself, between sessions
    half_width: float  # median over trials of the ratio's interval
    clean_share: float  # of samples
    contended: float  # of trials in which processor time stood in
    methods: int
    sweep_spread: float  # median over methods of the relative difference of their latencies in two sweeps
    ratio_spread: float  # of their ratios to the audited method
    tau: float  # Kendall's, between the places of two sweeps
    tau_latency: float  # between their latencies, ties or not
    seconds: float
    started: float

    @property
    def sound(self) -> bool:
        """Whether all figures are within what a ratio must keep to be trusted."""
        rates = self.false_positives <= FALSE * self.trials and self.found >= FOUND * self.trials
        return rates and self.tau >= TAU and not self.wrong_way and not self.failed

    def to_json(self) -> dict[str, Any]:
        return {name: None if value != value else value for name, value in asdict(self).items()} | {"sound": self.sound}


def audit(pool: Pool, cell: Cell, names: Sequence[str], experiment: Experiment, seen: Callable[[str], None]) -> Audit:
    """Run the experiments; `seen` is told of each trial. `pool` must have loaded `PLUGIN`."""
    started, limits = time.time(), experiment.limits
    pairs, usual = fixed_rounds(cell, experiment.timer, ROUNDS), protocol_of("latency", cell, experiment.timer)
    same, planted = [], []
    with busy(experiment.load):
        for number in range(experiment.trials):  # alternating, so that both see the same weather
            same.append(trial(pool, _named(cell, "A"), _named(cell, "B"), pairs, limits))
            planted.append(trial(pool, *_planted(cell), pairs, limits))
            seen(f"trial {number + 1} of {experiment.trials}: itself {same[-1].verdict}, 5% more work {planted[-1].verdict}")
        sweeps = [_sweep(pool, cell, names, usual, limits) for _ in range(2)]
    seen(f"two sweeps of {len(names)} methods")
    return _summary(cell, experiment.load, len(names), same, planted, sweeps, started)


def _named(cell: Cell, alias: str, **changes: Any) -> Cell:
    return Cell(**{**vars(cell), "alias": alias, **changes})


def _planted(cell: Cell) -> tuple[Cell, Cell]:
    """The operator whose work differs by 5%, at a quarter of the resolution: 20 of it take about as long as one of the cell's."""
    side = max(cell.height // 4, 8)
    small = {"method": "repeated", "height": side, "width": side}
    few, many = ((("times", times),) for times in TIMES)
    return _named(cell, "A", params=few, **small), _named(cell, "B", params=many, **small)


def _sweep(pool: Pool, cell: Cell, names: Sequence[str], protocol: Protocol, limits: Limits) -> dict[str, Record]:
    jobs = [Job(_named(cell, "", method=name), "latency", protocol) for name in names]
    with closing(pool.execute(jobs, limits)) as records:
        return {record.job.cell.method: record for record in records if record.status == "ok"}


def _places(sweep: dict[str, Record]) -> dict[str, int]:
    """Places by latency; methods that are not told apart share one."""
    ordered = sorted(sweep.values(), key=lambda record: float(record.values["latency_ms"] or 0))
    facts = [comparison.timing_of(record) for record in ordered]
    places = ranking.ranks(facts, lambda one, other: comparison.verdict_of(one, other) == "slower")
    return {record.job.cell.method: place for record, place in zip(ordered, places)}


def _summary(
    cell: Cell, load: int, asked: int, same: list[Trial], planted: list[Trial], sweeps: list[dict[str, Record]], started: float
) -> Audit:
    ok = [one for one in same if one.verdict != "failed"]
    records = [record for one in ok for record in one.records]
    both = [name for name in sweeps[0] if name in sweeps[1]]
    first, second = ([_value(sweep[name], "latency_ms") for name in both] for sweep in sweeps)
    places = [_places(sweep) for sweep in sweeps]
    return Audit(
        setting=f"{cell.method}, {setting_text(cell)}",
        load=load,
        trials=len(same),
        false_positives=sum(one.verdict in ("faster", "slower") for one in same),
        found=sum(one.verdict == "slower" for one in planted),
        wrong_way=sum(one.verdict == "faster" for one in planted),
        failed=sum(one.verdict == "failed" for one in (*same, *planted)) + sum(asked - len(sweep) for sweep in sweeps),
        spread=_spread([_value(one.records[0], "latency_ms") for one in ok]),
        half_width=_median([(one.ratio.hi - one.ratio.lo) / 2 for one in ok]),
        clean_share=_mean([_value(record, "clean_share") for record in records if record.values.get("clean_share") is not None]),
        contended=_mean([_value(record, "contended") for record in records]),
        methods=len(both),
        sweep_spread=_median([abs(b / a - 1) for a, b in zip(first, second)]),
        ratio_spread=_median(_ratio_changes(cell.method, sweeps)),
        tau=ranking.kendall_tau(*([place[name] for name in both] for place in places)),
        tau_latency=ranking.kendall_tau(first, second),
        seconds=time.time() - started,
        started=started,
    )


def _ratio_changes(method: str, sweeps: list[dict[str, Record]]) -> list[float]:
    """How far the ratio of each other method to this one differs between two sweeps."""
    facts = [{name: comparison.timing_of(record) for name, record in sweep.items()} for sweep in sweeps]
    if any(method not in one for one in facts):
        return []
    others = [name for name in facts[0] if name in facts[1] and name != method]
    ratios = [[comparison.ratio(one[name], one[method]).mid for name in others] for one in facts]
    return [abs(b / a - 1) for a, b in zip(*ratios)]


def _value(record: Record, name: str) -> float:
    return float(record.values[name])  # type: ignore[arg-type]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if len(values) else math.nan


def _spread(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) / _mean(values) if len(values) > 1 else math.nan


@contextmanager
def busy(cores: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Keep some cores busy with processes of no use."""
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(cores)]
    try:
        yield spinning
    finally:
        for process in spinning:
            process.kill()
            process.wait()
