"""A sweep, from the request to the journal. Imports no torch: the workers do."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import statistics
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import methods
from bench import journal, nets
from bench.columns import METRICS
from bench.executors import torchrun_env
from bench.executors.worker import WorkerDied
from bench.plan import Grid, on_machine, plan
from bench.report.text import replaceable
from bench.report.write import PAGES, write_reports
from bench.runner.options import RunOptions
from bench.runner.progress import progress
from bench.runner.request import Request, request
from bench.runner.sources import source_digests
from bench.spec import NOT_FAILED, ORIGINAL, Job, Limits, Record, Training, protocol_name
from bench.system import ceilings


class Sweep:
    """Opens the journal, plans the jobs and runs them."""

    def __init__(self, request: Request):
        """Plan a sweep. Raises CorruptJournal, OSError, ImportError, ValueError, and `WorkerDied` if no worker can start."""
        self.request = request
        self.known = {entry.name: entry for entry in methods.catalogue()}
        self.code = source_digests(self.known, request.code)
        self.execute, env = self._executor()
        self.env = env | {"ceilings": ceilings.load(env["id"])}
        for name in PAGES:  # fail before hours of measuring
            replaceable(request.out.parent / name)
        with journal.no_garbage_collection():
            self.jobs = plan(on_machine(request.grid, len(env["gpus"])), request.metrics, self.known, self.code)
            self.journal = journal.read_run(request.out)
            self.todo = [job for job in self.jobs if self._is_open(job)]

    def _executor(self) -> tuple[Callable[[Iterable[Job], Limits], Generator[Record]], dict[str, Any]]:
        executor = "torchrun" if torchrun_env.launched() else self.request.workers.executor
        if executor != "process":
            here = importlib.import_module(f"bench.executors.{executor}")
            return here.execute, importlib.import_module("bench.system.environment").collect()
        from bench.executors.process import Pool

        workers = self.request.workers
        pool = Pool(tuple(map(str, workers.plugins)), workers.start, workers.malloc, modules_to_preload(self.request.grid))
        return pool.execute, pool.collect_env()

    def _is_open(self, job: Job) -> bool:
        """Return whether a job still has to run."""
        record = self.journal.records.get(job.key())
        if record is None or self.request.force or record.env != self.env["id"]:
            return True
        if record.status == "skipped":
            return within(record.prediction, self.request.limits)
        return self.request.retry_failed and record.status not in NOT_FAILED

    def estimates(self) -> dict[Job, float]:
        """Estimate the seconds of each open job: the median of the journal's records of the same kind, else a typical value."""
        past: dict[tuple[str, ...], list[float]] = {}
        for record in self.journal.records.values():
            past.setdefault(kind(record.job), []).append(record.seconds)
        medians = {same: statistics.median(seconds) for same, seconds in past.items()}
        return {job: medians.get(kind(job), METRICS[job.metric].typical_seconds) for job in self.todo}

    def summary(self) -> str:
        """Return the number of jobs, of finished jobs, and the estimated remaining time."""
        seconds = sum(self.estimates().values())
        remaining = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
        return f"{len(self.jobs)} jobs, {len(self.jobs) - len(self.todo)} already done, about {remaining} remaining"

    def protocols(self) -> list[str]:
        """Return the names of the training protocols. The first is the one shown next to the other metrics."""
        trainings = ((job.cell, job.protocol) for job in self.jobs if isinstance(job.protocol, Training))
        return list(dict.fromkeys(protocol_name(cell, protocol) for cell, protocol in trainings))

    def open(self) -> journal.Writer:
        """Lock the journal and read it again. Raises OSError if another run is writing to it."""
        writer = journal.Writer(self.journal.path)
        self.journal = journal.read_journal(self.journal.path)
        self.todo = [job for job in self.todo if self._is_open(job)]
        return writer

    def run(self, writer: journal.Writer, seen: Callable[[Record], None]) -> int:
        """Run the open jobs and return the number of failures. A record is on disk before `seen` gets it. Raises `CannotWrite`."""
        failed = 0
        session = time.time()
        facts = self._facts(session)
        with writer:
            if self.journal.envs.get(self.env["id"], {}).get("ceilings") != self.env["ceilings"]:
                writer.env(self.env)
            writer.run(facts)
            with closing(self.execute(self.todo, self.request.limits)) as records:
                for measured in records:
                    record = replace(measured, env=self.env["id"], session=session)
                    writer.record(record)
                    seen(record)
                    failed += record.status not in NOT_FAILED
        with contextlib.suppress(OSError):  # missing, or not empty
            Path(self.request.limits.scratch or os.devnull).rmdir()
        return failed

    def _facts(self, session: float) -> dict[str, Any]:
        """Return what the journal records of a run."""
        grid = self.request.grid
        return {
            "command": self.request.command,
            "started": session,
            "env": self.env["id"],
            "commit": self.env["commit"],
            "baseline": self.request.baseline,
            "level": grid.level,
            "jobs": len(self.todo),
            "code": {name: self.code[name] for name in (*grid.methods, ORIGINAL)},
            "protocols": self.protocols(),
        }


def plan_sweep(options: RunOptions, command: str) -> Sweep:
    """Plan the sweep of these options. Raises ValueError, ImportError, OSError or CorruptJournal for invalid input."""
    try:
        return Sweep(request(options, command))
    except WorkerDied as death:
        raise ImportError(f"no worker could start: {death.detail}") from death


def measure(sweep: Sweep, writer: journal.Writer, figures: bool) -> tuple[int, list[Path]]:
    """Run a sweep, report its progress, and write its reports. Return the number of failed jobs and the paths written.

    Figures are drawn if `figures` is set or the run already has some. Raises `CannotWrite`.
    """
    with progress(sweep.estimates()) as seen:
        failed = sweep.run(writer, seen)
    return failed, write_reports([sweep.request.out], figures=figures or None)


def kind(job: Job) -> tuple[str, ...]:
    """Return the kind of a job. Jobs of one kind take about the same time."""
    return job.cell.method, job.cell.network, job.metric


def within(prediction: Mapping[str, Any], limits: Limits) -> bool:
    """Return whether the prediction of a skipped job is within the limits now."""
    allowed = {"predicted_s": limits.cell_seconds, "predicted_bytes": limits.memory or math.inf}
    return all(value <= allowed.get(name, math.inf) for name, value in prediction.items())


def modules_to_preload(grid: Grid) -> tuple[str, ...]:
    """Return modules for the workers' server to import once: timm takes seconds to import."""
    return ("timm",) if grid.level == "model" and any(nets.kind_of(network) == "library" for network in grid.networks) else ()
