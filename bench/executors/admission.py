"""The cost guard: a cell that would take too long or too much memory is skipped before it does, and its row says so.

Three looks, each cheaper than what it saves. The operations and the memory of a call are known from the meta device before anything
runs; no device is faster than `FASTEST`, so what exceeds the limit even then is not begun. Then one call is made and timed, and the
whole job follows from it. What slips through is ended by the address-space limit and the timeout.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import torch

from bench.spec import Energy, Job, Limits, Timing
from bench.workload.build import Workload
from bench.workload.cost import predict

FASTEST = {"cpu": 1e13, "cuda": 1e16}  # FLOP/s that no core (matrix units included) and no GPU of today exceeds
CALLS_A_ROUND = 3  # besides the timed ones: the two whose output is looked at, and a warm-up
MEMORY_CALLS = 9  # of a memory job: looked at, profiled, what autograd saves, and six for the process
PROPERTY_CALLS = 50  # of a properties job: shifts, float64, and twice the resolution in up to three ways
GIB = 2**30


class Skipped(Exception):
    """A cell that is not measured; `prediction` holds the seconds and bytes that it was predicted to take."""

    def __init__(self, reason: str, **prediction: float):
        super().__init__(reason)
        self.prediction = prediction


def admit(workload: Workload, job: Job, limits: Limits) -> None:
    """Raises `Skipped` where a job that runs the operator would exceed the limits; may run it once."""
    if job.metric not in ("latency", "memory", "energy", "properties"):
        return
    prediction = predict(doubled(workload) if job.metric == "properties" else workload)
    allowed = limits.memory or free_bytes(workload.cell.device)
    if allowed is not None and prediction.bytes > allowed:
        limit = f"--mem-limit {allowed / GIB:.2g} GiB" if limits.memory else f"the {allowed / GIB:.2g} GiB that are free"
        raise Skipped(f"a call holds about {prediction.bytes / GIB:.2g} GiB, more than {limit}", predicted_bytes=prediction.bytes)
    floor = (prediction.flops or 0) / FASTEST[torch.device(workload.cell.device).type] / workload.cell.threads
    _within(floor, job, limits, f"{prediction.flops or 0:.2g} FLOP take {floor:.3g} s at least")
    if limits.cell_seconds < float("inf"):
        seconds = one_call(workload)
        if job_seconds(seconds, job) > limits.cell_seconds:  # a first call may compile, tune or plan
            seconds = one_call(workload)
        _within(seconds, job, limits, f"one call took {seconds:.3g} s")


def doubled(workload: Workload) -> Workload:
    """The cell of the largest call of a properties job: one image of twice the resolution."""
    cell = workload.cell
    return replace(workload, cell=replace(cell, batch=1, height=2 * cell.height, width=2 * cell.width))


def free_bytes(device: str) -> int | None:
    """Memory that a device has free now; None where the system does not say."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    lines = meminfo.read_text().splitlines() if meminfo.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None)


def _within(seconds: float, job: Job, limits: Limits, evidence: str) -> None:
    total = job_seconds(seconds, job)
    if total > limits.cell_seconds:
        reason = f"{evidence}: the whole cell about {total:.3g} s, more than --max-cell-time {limits.cell_seconds:g}"
        raise Skipped(reason, predicted_s=total)


def job_seconds(call: float, job: Job) -> float:
    """Seconds that a job needs at least, from those of one call."""
    protocol = job.protocol
    if isinstance(protocol, Timing):
        return call * protocol.rounds * (CALLS_A_ROUND + protocol.min_calls)
    if job.metric == "memory":
        return call * MEMORY_CALLS
    if job.metric == "properties":
        return call * PROPERTY_CALLS
    if isinstance(protocol, Energy):
        return (max(call, protocol.window_seconds) + protocol.idle_seconds) * protocol.windows
    return call


def one_call(workload: Workload) -> float:
    """Seconds of one call on inputs of its own."""
    step = workload.step_on_new_input()
    begin = time.perf_counter()
    step()
    if torch.device(workload.cell.device).type == "cuda":
        torch.cuda.synchronize(workload.cell.device)
    return time.perf_counter() - begin
