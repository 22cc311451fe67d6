"""Latency of one call.

The value is the median over rounds of the median of the clean samples of each round, those without an involuntary context switch.
Each round has new input buffers and a warm-up, and the rounds of all methods of a setting are interleaved. If too few samples are
clean, CPU time is reported instead of wall time and `contended` is 1. The value is neither the latency inside a network, where the
caches hold other data, nor that with another number of threads.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
import torch

from bench.columns import Column, Metric
from bench.spec import Timing
from bench.stats.rounds import (
    Round,
    clean_share,
    contended,
    half_width,
    headline,
    medians,
)
from bench.timers.cpu import cpu_round
from bench.workload.build import Measurement, Workload

METRIC = Metric(
    columns=(
        Column(
            "latency_ms",
            unit="ms",
            better="lower",
            heading="latency, ms",
            meaning="latency per call: median over rounds of the median of the clean samples",
            interval=("latency_lo_ms", "latency_hi_ms"),
        ),
        Column("latency_lo_ms", unit="ms", meaning="lower end of the 95% confidence interval (t, log of per-round medians)"),
        Column("latency_hi_ms", unit="ms", meaning="upper end of the 95% confidence interval"),
        Column(
            "latency_min_ms",
            unit="ms",
            better="lower",
            meaning="fastest sample; biased by favourable cache states, for a cross-check only",
        ),
        Column("latency_p90_ms", unit="ms", better="lower", meaning="90th percentile of all samples, including disturbed ones"),
        Column("cpu_ms", unit="ms", better="lower", meaning="median CPU time per call (CPU, one thread)"),
        Column("rounds", meaning="number of rounds, the unit of replication"),
        Column("calls", meaning="number of timed calls in all rounds"),
        Column("clean_share", better="higher", meaning="fraction of samples without an involuntary context switch (CPU)"),
        Column("faults_per_call", better="lower", meaning="minor page faults per call; above 0 the allocator is timed too (CPU)"),
        Column("timer", unit="name", meaning="timer: wall (host clock); on a GPU cold, hot, graph or wall, see README"),
        Column("converged", meaning="1: the interval reached the target width"),
        Column("contended", meaning="1: too few clean samples; latency_ms is CPU time (1 thread)"),
        Column("launch_bound", meaning="1: the host takes longer to enqueue a call than the GPU to run it"),
        Column(
            "graph_ms",
            unit="ms",
            better="lower",
            meaning="latency per call inside a CUDA graph with warm caches; only if launch_bound",
        ),
        Column("throttled", meaning="1: the GPU clock of a round stayed below 75% of the highest clock in five repetitions"),
        Column("sm_clock_mhz", unit="MHz", meaning="GPU multiprocessor clock: median over rounds"),
        Column("gpu_temperature_c", unit="degC", meaning="highest GPU temperature before or after a round"),
        Column("foreign_processes", better="lower", meaning="largest number of other compute processes on the GPU in any round"),
    ),
    interleaved=True,
    typical_seconds=3.0,
    change="rounds",
)


def measure(workload: Workload, protocol: Timing) -> Generator[bool, bool, Measurement]:
    """Measure rounds until all intervals of the group are narrow enough, at most `max_rounds`.

    Yields after each round whether the interval is narrow enough, and receives whether those of the whole group are.
    """
    rounds: list[Round] = []
    threads, all_precise = workload.cell.threads, False
    while len(rounds) < protocol.rounds or not (all_precise or len(rounds) >= protocol.max_rounds):
        rounds.append(measure_round(workload, protocol, seed=len(rounds)))
        all_precise = yield len(rounds) >= protocol.rounds and half_width(headline(rounds, threads)) <= protocol.target
    converged = half_width(headline(rounds, threads)) <= protocol.target
    values = summary(rounds, threads) | {"timer": protocol.timer, "converged": int(converged)}
    return Measurement(values, medians(rounds), {"rounds": [raw(samples) for samples in rounds]})


def measure_round(workload: Workload, protocol: Timing, seed: int) -> Round:
    """Measure a round on new inputs. Raises `WrongResult` if the output is invalid or changes during the round."""
    device = workload.cell.device
    with workload.checked_for_drift(seed) as step:
        if torch.device(device).type == "cpu":
            return cpu_round(step, protocol)
        from bench.timers.cuda import cuda_round

        return cuda_round(step, protocol, device)


def raw(samples: Round) -> dict[str, list[int] | list[float]]:
    """Return the samples of a round in the format of the journal."""
    nanoseconds = {f"{name}_ns": [round(value * 1e9) for value in getattr(samples, name)] for name in ("wall", "cpu")}
    return {**nanoseconds, "switches": samples.switches, "faults": samples.faults}


def summary(rounds: Sequence[Round], threads: int = 1) -> dict[str, float | str | None]:
    """Return the latency columns of a cell."""
    mid, lo, hi = headline(rounds, threads)
    wall = [sample for samples in rounds for sample in samples.wall]
    cpu = [sample for samples in rounds for sample in samples.cpu]
    return {
        "latency_ms": mid * 1e3,
        "latency_lo_ms": lo * 1e3,
        "latency_hi_ms": hi * 1e3,
        "latency_min_ms": min(wall) * 1e3,
        "latency_p90_ms": float(np.quantile(wall, 0.9)) * 1e3,
        "cpu_ms": float(np.median(cpu)) * 1e3 if cpu and threads == 1 else None,
        "rounds": len(rounds),
        "calls": len(wall),
        "clean_share": clean_share(rounds) if cpu else None,
        "faults_per_call": float(np.median([faults for samples in rounds for faults in samples.faults])) if cpu else None,
        "contended": int(contended(rounds)),
        **summary_of_facts(rounds),
    }


def summary_of_facts(rounds: Sequence[Round]) -> dict[str, float | str | None]:
    """Summarise the facts over rounds: the maximum of throttling, other processes and temperature, the median of the others."""
    names = {name: None for samples in rounds for name in samples.facts}
    columns: dict[str, float | str | None] = {}
    for name in names:
        values = [value for samples in rounds if isinstance(value := samples.facts.get(name), int | float)]
        pick = np.max if name in ("throttled", "foreign_processes", "gpu_temperature_c") else np.median
        columns[name] = float(pick(values)) if values else None
    return columns
