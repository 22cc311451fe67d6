"""Latency of one call.

What the number means: the median over rounds of the per-round median of samples that no involuntary context switch disturbed,
with new input buffers and a warm-up in each round, rounds of all methods of the setting interleaved. Where too few samples are
undisturbed the processor time stands in for the wall time, and `contended` says so. What it does not mean: the speed inside a
network, where caches hold other data, nor the speed at another thread count.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
import torch

from bench.spec import Timing
from bench.stats.rounds import (
    Round,
    busy,
    clean_share,
    half_width,
    headline,
    medians,
)
from bench.timers.cpu import cpu_round
from bench.workload.build import Measurement, Workload


def measure(workload: Workload, protocol: Timing) -> Generator[bool, bool, Measurement]:
    """Yields after each round whether the interval is narrow enough; goes on until it is sent that the whole group's are."""
    rounds: list[Round] = []
    threads, enough = workload.cell.threads, False
    while len(rounds) < protocol.rounds or not (enough or len(rounds) >= protocol.max_rounds):
        rounds.append(one_round(workload, protocol, seed=len(rounds)))
        enough = yield len(rounds) >= protocol.rounds and half_width(headline(rounds, threads)) <= protocol.target
    converged = half_width(headline(rounds, threads)) <= protocol.target
    values = summary(rounds, threads) | {"timer": protocol.timer, "converged": int(converged)}
    return Measurement(values, medians(rounds), {"rounds": [raw(one) for one in rounds]})


def one_round(workload: Workload, protocol: Timing, seed: int) -> Round:
    """A round on new inputs; raises `WrongResult` where the output before it is wrong, or that after it is another."""
    device = workload.cell.device
    with workload.checked_for_drift(seed) as step:
        if torch.device(device).type == "cpu":
            return cpu_round(step, protocol)
        from bench.timers.cuda import cuda_round

        return cuda_round(step, protocol, device)


def raw(one: Round) -> dict[str, list[int] | list[float]]:
    """The samples of a round as they are kept."""
    nanoseconds = {f"{name}_ns": [round(value * 1e9) for value in getattr(one, name)] for name in ("wall", "cpu")}
    return {**nanoseconds, "switches": one.switches, "faults": one.faults}


def summary(rounds: Sequence[Round], threads: int = 1) -> dict[str, float | str | None]:
    """The latency columns of a cell from its rounds."""
    mid, lo, hi = headline(rounds, threads)
    wall = [sample for one in rounds for sample in one.wall]
    cpu = [sample for one in rounds for sample in one.cpu]
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
        "faults_per_call": float(np.median([f for one in rounds for f in one.faults])) if cpu else None,
        "contended": int(busy(rounds)),
        **worst(rounds),
    }


def worst(rounds: Sequence[Round]) -> dict[str, float | str | None]:
    """What else was seen, over rounds: the worst of what must not be at all, of the rest the middle."""
    names = {name: None for one in rounds for name in one.facts}
    found: dict[str, float | str | None] = {}
    for name in names:
        seen = [value for one in rounds if isinstance(value := one.facts.get(name), int | float)]
        pick = np.max if name in ("throttled", "foreign_processes", "gpu_temperature_c") else np.median
        found[name] = float(pick(seen)) if seen else None
    return found
