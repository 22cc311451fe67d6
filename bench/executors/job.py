"""The story of one job: build the operator, look at its output, measure, and end as exactly one record."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import metrics
from bench.executors import admission as guard
from bench.spec import Job, Limits, Record
from bench.system.torch_state import settle, unchanged
from bench.workload.build import Measurement, Workload
from bench.workload.failures import diagnose

JobSteps = Generator[bool, bool | None, Record]  # sent None to begin


def run(job: Job, limits: Limits) -> JobSteps:
    """Yield after each round whether the figure is precise enough, be sent whether the group's are; return the record.

    No exception of an operator or a metric leaves this function.
    """
    started, seconds = time.time(), 0.0
    story = _rounds(job, limits)
    enough: bool | None = None
    while True:
        begin = time.perf_counter()
        try:
            precise = story.send(enough)
        except StopIteration as end:
            return _ok(job, end.value, started, seconds + time.perf_counter() - begin)
        except guard.Skipped as skip:
            record = Record(job, "skipped", str(skip), prediction=skip.prediction)
        except Exception as error:  # whatever an operator raises becomes the row's status
            record = Record(job, *diagnose(error), samples={"traceback": traceback.format_exception(error)})
        else:
            last = time.perf_counter() - begin
            seconds += last
            enough = (yield precise) or seconds + last > limits.cell_seconds
            continue
        return replace(record, started=started, seconds=seconds + time.perf_counter() - begin)


def _rounds(job: Job, limits: Limits) -> Generator[bool, bool | None, Measurement]:
    """The metric's rounds, each begun in a settled process and looked at when it ends."""
    settle(job.cell)
    workload = Workload(job.cell, **saving_options(job, limits))
    guard.admit(workload, job, limits)
    measuring = metrics.get(job.metric)(workload, job.protocol)
    enough: bool | None = None
    while True:
        settle(job.cell)
        try:
            precise = measuring.send(enough)
        except StopIteration as end:
            unchanged(job.cell)
            return end.value
        unchanged(job.cell)
        enough = yield precise


def saving_options(job: Job, limits: Limits) -> dict[str, Any]:
    """What of a training is kept, where and how often."""
    state = Path(limits.scratch) / f"{job.key()}.pt" if limits.scratch else None
    weights = Path(limits.weights) if limits.weights else None
    return {"checkpoint": state, "save_every": limits.save_every, "weights": weights, "each_epoch": limits.each_epoch}


def _ok(job: Job, outcome: Measurement, started: float, seconds: float) -> Record:
    values = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in outcome.values.items()
    }
    rounds, evals, samples = dict(outcome.rounds), dict(outcome.evals), dict(outcome.samples)
    return Record(job, "ok", "", values, rounds, evals, samples=samples, started=started, seconds=seconds)
