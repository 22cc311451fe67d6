"""Admission of jobs: a job that is predicted to exceed its time or memory limit is skipped, and its record holds the prediction.

It makes three checks of increasing cost. First, the memory of a call is predicted on the meta device. Second, the operations of a
call are divided by `FASTEST`, a rate that no device exceeds. Third, one call is timed, and the duration of the job is extrapolated
from it. The address-space limit and the timeout stop a job that passes all three checks and still exceeds its limits.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import torch

from bench.columns import METRICS
from bench.spec import Job, Limits
from bench.workload.build import Workload
from bench.workload.cost import predict

FASTEST = {"cpu": 1e13, "cuda": 1e16}  # FLOP/s that no CPU core (matrix units included) and no GPU exceeds today
GIB = 2**30


class Skipped(Exception):
    """The cell is not measured. `prediction` holds its predicted seconds or bytes."""

    def __init__(self, reason: str, **prediction: float):
        super().__init__(reason)
        self.prediction = prediction


def admit(workload: Workload, job: Job, limits: Limits) -> None:
    """Raise `Skipped` if the job is predicted to exceed the limits. May call the operator once or twice."""
    metric = METRICS[job.metric]
    if not metric.calls:
        return
    prediction = predict(largest_call(workload, metric.largest))
    allowed = limits.memory or free_bytes(workload.cell.device)
    if allowed is not None and prediction.bytes > allowed:
        limit = f"--mem-limit {allowed / GIB:.2g} GiB" if limits.memory else f"the {allowed / GIB:.2g} GiB of free memory"
        raise Skipped(f"one call needs about {prediction.bytes / GIB:.2g} GiB, more than {limit}", predicted_bytes=prediction.bytes)
    fastest = (prediction.flops or 0) / FASTEST[torch.device(workload.cell.device).type] / workload.cell.threads
    _check_duration(fastest, job, limits, f"{prediction.flops or 0:.2g} FLOP take at least {fastest:.3g} s")
    if limits.cell_seconds < float("inf"):
        seconds = time_one_call(workload)
        if job_seconds(seconds, job) > limits.cell_seconds:  # the first call may include compilation, autotuning or planning
            seconds = time_one_call(workload)
        _check_duration(seconds, job, limits, f"one call took {seconds:.3g} s")


def largest_call(workload: Workload, factor: int) -> Workload:
    """Return the workload of the largest call: that of the cell, or one image of `factor` times the side."""
    if factor == 1:
        return workload
    cell = workload.cell
    return replace(workload, cell=replace(cell, batch=1, height=factor * cell.height, width=factor * cell.width))


def free_bytes(device: str) -> int | None:
    """Return the free memory of a device in bytes, or None if the system does not report it."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    lines = meminfo.read_text().splitlines() if meminfo.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None)


def _check_duration(seconds: float, job: Job, limits: Limits, evidence: str) -> None:
    total = job_seconds(seconds, job)
    if total > limits.cell_seconds:
        reason = f"{evidence}, the whole cell about {total:.3g} s: more than --max-cell-time {limits.cell_seconds:g}"
        raise Skipped(reason, predicted_s=total)


def job_seconds(call: float, job: Job) -> float:
    """Return the minimum duration of a job in seconds, given the seconds of one call."""
    duration = job.protocol.duration(call)
    return call * METRICS[job.metric].calls if duration is None else duration


def time_one_call(workload: Workload) -> float:
    """Return the seconds of one call on new inputs."""
    step = workload.step_on_new_input()
    begin = time.perf_counter()
    step()
    if torch.device(workload.cell.device).type == "cuda":
        torch.cuda.synchronize(workload.cell.device)
    return time.perf_counter() - begin
