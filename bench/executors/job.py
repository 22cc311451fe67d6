"""One job: build the operator, validate its output, measure it, and return exactly one record."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import metrics
from bench.executors import admission
from bench.spec import Job, Limits, Record
from bench.system.torch_state import check_unchanged, settle
from bench.workload.build import Measurement, Workload
from bench.workload.failures import diagnose

JobSteps = Generator[bool, bool | None, Record]  # sent None to begin


def run(job: Job, limits: Limits) -> JobSteps:
    """Run a job round by round.

    After each round, yields whether the measurement is precise enough and receives whether those of the whole group are. Returns
    the record. Exceptions of the operator and the metric become the status of the record.
    """
    started, seconds = time.time(), 0.0
    rounds = _rounds(job, limits)
    all_precise: bool | None = None
    while True:
        begin = time.perf_counter()
        try:
            precise = rounds.send(all_precise)
        except StopIteration as end:
            return _ok(job, end.value, started, seconds + time.perf_counter() - begin)
        except admission.Skipped as skip:
            record = Record(job, "skipped", str(skip), prediction=skip.prediction)
        except Exception as error:  # an operator may raise anything; it becomes the status of the record
            record = Record(job, *diagnose(error), samples={"traceback": traceback.format_exception(error)})
        else:
            last = time.perf_counter() - begin
            seconds += last
            all_precise = (yield precise) or seconds + last > limits.cell_seconds
            continue
        return replace(record, started=started, seconds=seconds + time.perf_counter() - begin)


def _rounds(job: Job, limits: Limits) -> Generator[bool, bool | None, Measurement]:
    """Run the rounds of the metric. The settings of torch are reset before each round and checked after it."""
    settle(job.cell)
    workload = Workload(job.cell, **saving_options(job, limits))
    admission.admit(workload, job, limits)
    measuring = metrics.get(job.metric)(workload, job.protocol)
    all_precise: bool | None = None
    while True:
        settle(job.cell)
        try:
            precise = measuring.send(all_precise)
        except StopIteration as end:
            check_unchanged(job.cell)
            return end.value
        check_unchanged(job.cell)
        all_precise = yield precise


def saving_options(job: Job, limits: Limits) -> dict[str, Any]:
    """Return the checkpoint and weight-saving options of a training."""
    state = Path(limits.scratch) / f"{job.key()}.pt" if limits.scratch else None
    weights = Path(limits.weights) if limits.weights else None
    return {"checkpoint": state, "save_every": limits.save_every, "weights": weights, "each_epoch": limits.each_epoch}


def _ok(job: Job, outcome: Measurement, started: float, seconds: float) -> Record:
    values = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in outcome.values.items()
    }
    rounds, evals, samples = dict(outcome.rounds), list(outcome.evals), dict(outcome.samples)
    return Record(job, "ok", "", values, rounds, evals, samples=samples, started=started, seconds=seconds)
