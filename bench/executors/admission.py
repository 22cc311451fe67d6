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

from bench.spec import Energy, Job, Limits, Timing
from bench.workload.build import Workload
from bench.workload.cost import predict

FASTEST = {"cpu": 1e13, "cuda": 1e16}  # FLOP/s that no CPU core (matrix units included) and no GPU exceeds today
CALLS_PER_ROUND = 3  # in addition to the timed ones: two whose output is validated, and a warm-up
MEMORY_CALLS = 9  # of a memory job: one validated, one profiled, one for autograd, six for the process
PROPERTY_CALLS = 50  # of a properties job: shifts, float64, and twice the resolution in up to three ways
GIB = 2**30


class Skipped(Exception):
    """The cell is not measured. `prediction` holds its predicted seconds or bytes."""

    def __init__(self, reason: str, **prediction: float):
        super().__init__(reason)
        self.prediction = prediction


def admit(workload: Workload, job: Job, limits: Limits) -> None:
    """Raise `Skipped` if the job is predicted to exceed the limits. May call the operator once or twice."""
    if job.metric not in ("latency", "memory", "energy", "properties"):
        return
    prediction = predict(at_twice_the_resolution(workload) if job.metric == "properties" else workload)
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


def at_twice_the_resolution(workload: Workload) -> Workload:
    """Return the workload of the largest call of a properties job: one image at twice the resolution."""
    cell = workload.cell
    return replace(workload, cell=replace(cell, batch=1, height=2 * cell.height, width=2 * cell.width))


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
    protocol = job.protocol
    if isinstance(protocol, Timing):
        return call * protocol.rounds * (CALLS_PER_ROUND + protocol.min_calls)
    if job.metric == "memory":
        return call * MEMORY_CALLS
    if job.metric == "properties":
        return call * PROPERTY_CALLS
    if isinstance(protocol, Energy):
        return (max(call, protocol.window_seconds) + protocol.idle_seconds) * protocol.windows
    return call


def time_one_call(workload: Workload) -> float:
    """Return the seconds of one call on new inputs."""
    step = workload.step_on_new_input()
    begin = time.perf_counter()
    step()
    if torch.device(workload.cell.device).type == "cuda":
        torch.cuda.synchronize(workload.cell.device)
    return time.perf_counter() - begin
