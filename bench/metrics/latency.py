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

from bench.clocks import cpu_round, cuda_round
from bench.spec import Timing
from bench.stats import Round, clean, clean_share, contended, log_interval
from bench.subject import Outcome, Subject


def measure(subject: Subject, protocol: Timing) -> Generator[None, None, Outcome]:
    device = subject.cell.device
    torch.set_flush_denormal(True)
    rounds = []
    for number in range(protocol.rounds):
        step = subject.checked_step(seed=number)
        on_gpu = torch.device(device).type == "cuda"
        rounds.append(cuda_round(step, protocol, device) if on_gpu else cpu_round(step, protocol))
        del step
        yield
    return Outcome(summary(rounds, subject.cell.threads), {"rounds": [raw(one) for one in rounds]})


def raw(one: Round) -> dict[str, list[int] | list[float]]:
    """The samples of a round as the journal keeps them."""
    nanoseconds = {f"{name}_ns": [round(value * 1e9) for value in getattr(one, name)] for name in ("wall", "cpu")}
    return {**nanoseconds, "switches": one.switches, "faults": one.faults}


def summary(rounds: Sequence[Round], threads: int = 1) -> dict[str, float | str | None]:
    """The latency columns of a cell from its rounds.

    Processor time adds up over threads, so it stands in for the wall time of one thread only; with more, all samples are taken.
    """
    busy = bool(rounds[0].cpu) and contended(rounds)
    taken = [clean(one) if not busy else one.cpu if threads == 1 else one.wall for one in rounds]
    mid, lo, hi = log_interval([float(np.median(samples)) for samples in taken])
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
        "contended": int(busy),
    }
