"""A sweep from its options to its journal. No torch here: workers have it."""

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
from bench import journal as store
from bench import nets
from bench.plan import Axes, plan
from bench.report.text import replaceable
from bench.report.write import PAGES
from bench.runner.devices import resolve
from bench.runner.sources import load_plugins, source_digests
from bench.spec import NOT_FAILED, ORIGINAL, Job, Limits, Record, Training, protocol_name
from bench.system import ceilings

# Seconds a job takes on a small CPU, before there are records to go by.
TYPICAL_SECONDS = {"params": 0.2, "flops": 0.5, "memory": 1.0, "latency": 3.0, "energy": 14.0, "properties": 2.0, "accuracy": 12.0}


@dataclass(frozen=True)
class Request:
    """What the command line asked for."""

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
    """Opens what a sweep needs, plans it, runs it."""

    def __init__(self, request: Request):
        """Raises CorruptJournal, OSError, ImportError, ValueError, or `WorkerDied` where no worker can start."""
        self.request = request
        for name in PAGES:  # before hours of measuring, not after
            replaceable(request.out.parent / name)
        plugin_code = load_plugins(request.plugins)
        self.known = {entry.name: entry for entry in methods.catalogue()}
        self.journal = store.read(request.out / store.NAME)
        for sibling in request.out.parent.glob(f"*/{store.NAME}"):
            if sibling != self.journal.path:
                store.read(sibling)  # the leaderboard will need it
        self.execute, env = self._executor()
        self.env = env | {"ceilings": ceilings.load(env["id"])}
        axes = replace(request.axes, device=resolve(request.axes.device, len(self.env["gpus"])))
        self.code = source_digests(self.known, plugin_code)
        with store.no_collections():
            self.jobs = plan(axes, request.metrics, self.known, self.code)
            self.todo = [job for job in self.jobs if self._open(job)]

    def _executor(self) -> tuple[Callable[[Iterable[Job], Limits], Generator[Record]], dict[str, Any]]:
        if self.request.executor != "process":
            here = importlib.import_module(f"bench.executors.{self.request.executor}")
            return here.execute, importlib.import_module("bench.system.environment").collect()
        from bench.executors.process import Pool

        pool = Pool(self.request.plugins, self.request.start, self.request.malloc, needs_timm(self.request.axes))
        return pool.execute, pool.collect_env()

    def _open(self, job: Job) -> bool:
        """Whether a job is still to be done."""
        record = self.journal.records.get(job.key())
        if record is None or self.request.force or record.env != self.env["id"]:
            return True
        if record.status == "skipped":
            return within(record.prediction, self.request.limits)
        return self.request.retry_failed and record.status not in NOT_FAILED

    def estimates(self) -> dict[Job, float]:
        """Seconds each open job will take: the median of this folder's records of the same kind, else typical."""
        past: dict[tuple[str, ...], list[float]] = {}
        for record in self.journal.records.values():
            past.setdefault(kind(record.job), []).append(record.seconds)
        usual = {same: statistics.median(seconds) for same, seconds in past.items()}
        return {job: usual.get(kind(job), TYPICAL_SECONDS.get(job.metric, 5.0)) for job in self.todo}

    def protocols(self) -> list[str]:
        """Names of the protocols of accuracy, the one that stands beside the other metrics first."""
        found = ((job.cell, job.protocol) for job in self.jobs if isinstance(job.protocol, Training))
        return list(dict.fromkeys(protocol_name(cell, protocol) for cell, protocol in found))

    def open(self) -> store.Writer:
        """Take hold of the journal, and look again at what is done; raises OSError where another run is writing there."""
        writer = store.Writer(self.journal.path)
        self.journal = store.read(self.journal.path)
        self.todo = [job for job in self.todo if self._open(job)]
        return writer

    def run(self, writer: store.Writer, seen: Callable[[Record], None]) -> int:
        """Run what is open; each record is on disk before `seen` is told of it. How many jobs failed; raises `CannotWrite`."""
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
        with contextlib.suppress(OSError):  # absent, or not empty
            Path(self.request.limits.scratch or os.devnull).rmdir()
        return failed


def kind(job: Job) -> tuple[str, ...]:
    """Jobs of one kind take about as long."""
    return job.cell.method, job.cell.network, job.metric


def within(prediction: Mapping[str, Any], limits: Limits) -> bool:
    """Whether a skipped job's prediction is allowed by now."""
    allowed = {"predicted_s": limits.cell_seconds, "predicted_bytes": limits.memory or math.inf}
    return all(value <= allowed.get(name, math.inf) for name, value in prediction.items())


def needs_timm(axes: Axes) -> tuple[str, ...]:
    """What workers had better begin with: a library of networks, seconds to import, where each would import it."""
    return ("timm",) if axes.level == "model" and any(map(nets.is_open, axes.networks)) else ()
