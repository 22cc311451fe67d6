"""Audit of a machine: are its latencies trustworthy today? Three experiments with known answers.

1. A method against itself, with the protocol of `ab`: every verdict of faster or slower is a false positive.
2. An operator against itself with 5% more work: every other verdict than slower misses the difference.
3. The same sweep twice: how well do two runs agree on latencies and on the ranking?
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
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bench.axes import setting_text
from bench.plan import protocol_of
from bench.runner.ab import ROUNDS, Trial, fixed_rounds, trial
from bench.spec import Cell, Job, Limits, Protocol, Record
from bench.stats import ranking, ratios
from bench.stats.ratios import Timed

if TYPE_CHECKING:
    from bench.executors.process import Pool

PLUGIN = str(Path(__file__).with_name("injected_slowdown.py"))
SPIN = """
import os
parent = os.getppid()
while os.getppid() == parent:
    sum(range(100_000))
"""
TIMES = (20, 21)  # repetitions of the injected slowdown: 5%
FALSE, FOUND, TAU = 0.05, 0.90, 0.98  # maximum false positive rate, minimum detection rate, minimum agreement of rankings


@dataclass(frozen=True)
class Experiment:
    """Settings of an audit: trials of each kind, number of cores under load, timer on a GPU, limits of a job."""

    trials: int = 20
    load: int = 0
    timer: str = "cold"
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Audit:
    """The results of an audit. A spread is a standard deviation relative to the mean."""

    setting: str
    load: int  # cores kept busy during the audit
    trials: int
    false_positives: int
    found: int  # injected slowdowns detected, out of `trials`
    wrong_way: int  # injected slowdowns called faster
    failed: int  # failed trials and methods
    spread: float  # of the latency of the audited method, between trials
    half_width: float  # median over trials of the ratio's interval
    clean_share: float  # share of clean samples
    contended: float  # share of trials that report CPU time
    methods: int
    sweep_spread: float  # median over methods of the relative difference of their latencies in two sweeps
    ratio_spread: float  # the same for their ratios to the audited method
    tau: float  # Kendall's tau of the ranks in two sweeps
    tau_latency: float  # the same for the latencies, without ties
    seconds: float
    started: float

    @property
    def sound(self) -> bool:
        """Whether all results meet the limits `FALSE`, `FOUND` and `TAU`."""
        rates = self.false_positives <= FALSE * self.trials and self.found >= FOUND * self.trials
        return rates and self.tau >= TAU and not self.wrong_way and not self.failed

    def to_json(self) -> dict[str, Any]:
        return {name: None if value != value else value for name, value in asdict(self).items()} | {"sound": self.sound}


class Results(NamedTuple):
    """What the experiments measured: the trials of each kind, and the records of the methods that succeeded in each sweep."""

    same: list[Trial]
    slower: list[Trial]
    sweeps: list[dict[str, Record]]


def audit(pool: Pool, cell: Cell, names: Sequence[str], experiment: Experiment, seen: Callable[[str], None]) -> Audit:
    """Run the experiments and report each trial to `seen`. `pool` must have loaded `PLUGIN`."""
    started, limits = time.time(), experiment.limits
    paired, usual = fixed_rounds(cell, experiment.timer, ROUNDS), protocol_of("latency", cell, experiment.timer)
    same, slower = [], []
    with busy(experiment.load):
        for number in range(experiment.trials):  # alternate both kinds: they see the same background load
            same.append(trial(pool, (_named(cell, "A"), _named(cell, "B")), paired, limits))
            slower.append(trial(pool, _slowed(cell), paired, limits))
            seen(f"trial {number + 1} of {experiment.trials}: itself {same[-1].verdict}, 5% more work {slower[-1].verdict}")
        sweeps = [_sweep(pool, cell, names, usual, limits) for _ in range(2)]
    seen(f"two sweeps of {len(names)} methods")
    return _summary(cell, experiment.load, len(names), Results(same, slower, sweeps), started)


def _named(cell: Cell, alias: str, **changes: Any) -> Cell:
    return Cell(**{**vars(cell), "alias": alias, **changes})


def _slowed(cell: Cell) -> tuple[Cell, Cell]:
    """Return two cells whose work differs by 5%, at a quarter of the resolution: 20 repetitions take about as long as `cell`."""
    side = max(cell.height // 4, 8)
    small = {"method": "repeated", "height": side, "width": side}
    few, many = ((("times", times),) for times in TIMES)
    return _named(cell, "A", params=few, **small), _named(cell, "B", params=many, **small)


def _sweep(pool: Pool, cell: Cell, names: Sequence[str], protocol: Protocol, limits: Limits) -> dict[str, Record]:
    jobs = [Job(_named(cell, "", method=name), "latency", protocol) for name in names]
    with closing(pool.execute(jobs, limits)) as records:
        return {record.job.cell.method: record for record in records if record.status == "ok"}


def _ranks(sweep: dict[str, Record]) -> dict[str, int]:
    """Return the rank of each method by latency. Tied methods have the same rank."""
    ordered = sorted(sweep.values(), key=lambda record: float(record.values["latency_ms"] or 0))
    timings = [Timed.of(record) for record in ordered]
    ranks = ranking.ranks(timings, ratios.slower)
    return {record.job.cell.method: rank for record, rank in zip(ordered, ranks)}


def _summary(cell: Cell, load: int, methods: int, results: Results, started: float) -> Audit:
    same, slower, sweeps = results
    ok = [result for result in same if result.verdict != "failed"]
    records = [record for result in ok for record in result.records]
    both = [name for name in sweeps[0] if name in sweeps[1]]
    first, second = ([_value(sweep[name], "latency_ms") for name in both] for sweep in sweeps)
    ranks = [_ranks(sweep) for sweep in sweeps]
    return Audit(
        setting=f"{cell.method}, {setting_text(vars(cell))}",
        load=load,
        trials=len(same),
        false_positives=sum(result.verdict in ("faster", "slower") for result in same),
        found=sum(result.verdict == "slower" for result in slower),
        wrong_way=sum(result.verdict == "faster" for result in slower),
        failed=sum(result.verdict == "failed" for result in (*same, *slower)) + sum(methods - len(sweep) for sweep in sweeps),
        spread=_spread([_value(result.records[0], "latency_ms") for result in ok]),
        half_width=_median([(result.ratio.hi - result.ratio.lo) / 2 for result in ok]),
        clean_share=_mean([_value(record, "clean_share") for record in records if record.values.get("clean_share") is not None]),
        contended=_mean([_value(record, "contended") for record in records]),
        methods=len(both),
        sweep_spread=_median([abs(b / a - 1) for a, b in zip(first, second)]),
        ratio_spread=_median(_ratio_changes(cell.method, sweeps)),
        tau=ranking.kendall_tau(*([rank[name] for name in both] for rank in ranks)),
        tau_latency=ranking.kendall_tau(first, second),
        seconds=time.time() - started,
        started=started,
    )


def _ratio_changes(method: str, sweeps: list[dict[str, Record]]) -> list[float]:
    """Return the relative change of each other method's ratio to `method` between two sweeps."""
    timings = [{name: Timed.of(record) for name, record in sweep.items()} for sweep in sweeps]
    if any(method not in timing for timing in timings):
        return []
    others = [name for name in timings[0] if name in timings[1] and name != method]
    first, second = ([ratios.ratio(timing[name], timing[method]).mid for name in others] for timing in timings)
    return [abs(b / a - 1) for a, b in zip(first, second)]


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
    """Keep that many cores busy with spinning processes."""
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(cores)]
    try:
        yield spinning
    finally:
        for process in spinning:
            process.kill()
            process.wait()
