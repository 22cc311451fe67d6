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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import methods
from bench import journal, nets
from bench.plan import Axes, plan
from bench.report.text import replaceable
from bench.report.write import PAGES
from bench.runner.devices import resolve
from bench.runner.sources import load_plugins, source_digests
from bench.spec import NOT_FAILED, ORIGINAL, Job, Limits, Record, Training, protocol_name
from bench.system import ceilings

# Seconds per job on a small CPU, used until there are records of the same kind.
TYPICAL_SECONDS = {"params": 0.2, "flops": 0.5, "memory": 1.0, "latency": 3.0, "energy": 14.0, "properties": 2.0, "accuracy": 12.0}


@dataclass(frozen=True)
class Request:
    """A sweep as requested on the command line."""

    axes: Axes
    metrics: tuple[str, ...]
    out: Path
    plugins: tuple[str, ...] = ()
    executor: str = "process"
    start: str = "forkserver"
    malloc: str = "tuned"
    limits: Limits = field(default_factory=Limits)
    force: bool = False
    retry_failed: bool = False
    command: str = ""
    baseline: str = "none"


class Sweep:
    """Opens the journal, plans the jobs and runs them."""

    def __init__(self, request: Request):
        """Plan a sweep. Raises CorruptJournal, OSError, ImportError, ValueError, and `WorkerDied` if no worker can start."""
        self.request = request
        for name in PAGES:  # fail before hours of measuring
            replaceable(request.out.parent / name)
        plugin_code = load_plugins(request.plugins)
        self.known = {entry.name: entry for entry in methods.catalogue()}
        self.journal = journal.read_journal(request.out / journal.JOURNAL)
        for sibling in request.out.parent.glob(f"*/{journal.JOURNAL}"):
            if sibling != self.journal.path:
                journal.read_journal(sibling)  # the leaderboard reads it later: fail now if it is corrupt
        self.execute, env = self._executor()
        self.env = env | {"ceilings": ceilings.load(env["id"])}
        axes = replace(request.axes, device=resolve(request.axes.device, len(self.env["gpus"])))
        self.code = source_digests(self.known, plugin_code)
        with journal.no_garbage_collection():
            self.jobs = plan(axes, request.metrics, self.known, self.code)
            self.todo = [job for job in self.jobs if self._is_open(job)]

    def _executor(self) -> tuple[Callable[[Iterable[Job], Limits], Generator[Record]], dict[str, Any]]:
        if self.request.executor != "process":
            here = importlib.import_module(f"bench.executors.{self.request.executor}")
            return here.execute, importlib.import_module("bench.system.environment").collect()
        from bench.executors.process import Pool

        pool = Pool(self.request.plugins, self.request.start, self.request.malloc, modules_to_preload(self.request.axes))
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
        return {job: medians.get(kind(job), TYPICAL_SECONDS.get(job.metric, 5.0)) for job in self.todo}

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
        with writer:
            if self.journal.envs.get(self.env["id"], {}).get("ceilings") != self.env["ceilings"]:
                writer.env(self.env)
            writer.run(
                {
                    "command": self.request.command,
                    "started": session,
                    "env": self.env["id"],
                    "commit": self.env["commit"],
                    "baseline": self.request.baseline,
                    "level": self.request.axes.level,
                    "jobs": len(self.todo),
                    "code": {name: self.code[name] for name in (*self.request.axes.methods, ORIGINAL)},
                    "protocols": self.protocols(),
                }
            )
            with closing(self.execute(self.todo, self.request.limits)) as records:
                for measured in records:
                    record = replace(measured, env=self.env["id"], session=session)
                    writer.record(record)
                    seen(record)
                    failed += record.status not in NOT_FAILED
        with contextlib.suppress(OSError):  # missing, or not empty
            Path(self.request.limits.scratch or os.devnull).rmdir()
        return failed


def kind(job: Job) -> tuple[str, ...]:
    """Return the kind of a job. Jobs of one kind take about the same time."""
    return job.cell.method, job.cell.network, job.metric


def within(prediction: Mapping[str, Any], limits: Limits) -> bool:
    """Return whether the prediction of a skipped job is within the limits now."""
    allowed = {"predicted_s": limits.cell_seconds, "predicted_bytes": limits.memory or math.inf}
    return all(value <= allowed.get(name, math.inf) for name, value in prediction.items())


def modules_to_preload(axes: Axes) -> tuple[str, ...]:
    """Return modules for the workers' server to import once: timm takes seconds to import."""
    return ("timm",) if axes.level == "model" and any(map(nets.is_from_library, axes.networks)) else ()
