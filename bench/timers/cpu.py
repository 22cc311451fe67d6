"""Time a round of calls on a CPU."""

from __future__ import annotations

import gc
import math
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.spec import Timing
from bench.stats.rounds import Round

Step = Callable[[], Any]
SHORT = 50e-6  # seconds; shorter calls are combined into one sample
BUNDLE = 200e-6  # seconds of such a sample: far below a scheduler slice, far above the timer's resolution of 0.1 us
STEADY = 0.95  # warm if none of three consecutive calls takes less than this fraction of the fastest time before
WARM_CALLS = 3  # minimum
WARM_SECONDS = (0.003, 0.1)  # minimum, maximum
WARM_FAULTS = 16  # minor page faults per call above which the heap is still growing
GROWING = (8, 8.0)  # calls and seconds of warm-up while the heap grows: a tuned heap settles within eight calls


@contextmanager
def no_collection() -> Iterator[None]:
    """Collect garbage, then disable the garbage collector within the context."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _switches_and_faults() -> tuple[int, int]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_nivcsw, usage.ru_minflt


def warm_up(step: Step, at_least: float = WARM_SECONDS[0]) -> float:
    """Call until calls do not become faster and the heap does not grow. Return the fastest call in seconds.

    Other processes can only make a call slower. Therefore the minimum is converged if several further calls do not improve it,
    regardless of their noise.
    """
    fastest, spent, calls, unimproved = math.inf, 0.0, 0, 0
    while True:
        faults = _switches_and_faults()[1]
        begin = time.perf_counter()
        step()
        last = time.perf_counter() - begin
        growing = _switches_and_faults()[1] - faults > WARM_FAULTS
        unimproved = 0 if last < STEADY * fastest else unimproved + 1
        fastest, spent, calls = min(fastest, last), spent + last, calls + 1
        steady = unimproved >= WARM_CALLS and spent >= at_least
        limit = GROWING[1] if growing and calls < GROWING[0] else WARM_SECONDS[1]
        if (steady and not growing) or spent >= limit:
            return fastest


def calls_for(seconds: float, timing: Timing) -> int:
    """Return the number of samples of this duration in a round."""
    return min(max(math.ceil(timing.round_seconds / seconds), timing.min_calls), timing.max_calls)


def cpu_round(step: Step, timing: Timing) -> Round:
    """Warm up, then sample wall and CPU time per call, involuntary switches per sample and minor page faults per call."""
    with no_collection():
        fastest = warm_up(step)
        bundle = 1 if fastest >= SHORT else math.ceil(BUNDLE / fastest)
        samples = Round([], [], [], [])
        for _ in range(calls_for(fastest * bundle, timing)):
            switches, faults = _switches_and_faults()
            cpu, wall = time.process_time_ns(), time.perf_counter_ns()
            for _ in range(bundle):
                results = step()
            wall, cpu = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
            after = _switches_and_faults()
            del results  # freeing the output and the gradients of the last call is not timed
            samples.wall.append(wall / bundle / 1e9)
            samples.cpu.append(cpu / bundle / 1e9)
            samples.switches.append(after[0] - switches)
            samples.faults.append((after[1] - faults) / bundle)
    return samples
