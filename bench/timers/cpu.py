"""Timing of one round of calls on a CPU."""

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
SHORT = 50e-6  # seconds; shorter calls are bundled to one sample
BUNDLE = 200e-6  # seconds of a bundled sample: far below a scheduler slice, far above the timer's 0.1 us
STEADY = 0.95  # warm when three calls in a row are none of them faster than this share of the fastest before
WARM_CALLS = 3  # at least
WARM_SECONDS = (0.003, 0.1)  # at least, at most
WARM_FAULTS = 16  # minor page faults a call above which the heap still grows
GROWING = (8, 8.0)  # calls and seconds that a growing heap is given beyond: a tuned one settles within eight calls


@contextmanager
def no_collection() -> Iterator[None]:
    """Collect garbage, then keep the collector away from the timed region."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _disturbances() -> tuple[int, int]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_nivcsw, usage.ru_minflt


def warm_up(step: Step, at_least: float = WARM_SECONDS[0]) -> float:
    """Call until calls get no faster and the heap has stopped growing; returns the fastest call in seconds.

    Other processes only ever make a call slower, so a fastest call that stands for a while is warm, however noisy the rest.
    """
    fastest, spent, calls, standing = math.inf, 0.0, 0, 0
    while True:
        faults = _disturbances()[1]
        begin = time.perf_counter()
        step()
        last = time.perf_counter() - begin
        growing = _disturbances()[1] - faults > WARM_FAULTS
        standing = 0 if last < STEADY * fastest else standing + 1
        fastest, spent, calls = min(fastest, last), spent + last, calls + 1
        steady = standing >= WARM_CALLS and spent >= at_least
        limit = GROWING[1] if growing and calls < GROWING[0] else WARM_SECONDS[1]
        if (steady and not growing) or spent >= limit:
            return fastest


def calls_for(seconds: float, timing: Timing) -> int:
    """How many samples of that length a round takes."""
    return min(max(math.ceil(timing.round_seconds / seconds), timing.min_calls), timing.max_calls)


def cpu_round(step: Step, timing: Timing) -> Round:
    """Warm up, then sample: wall and processor time a call, involuntary switches a sample, minor faults a call."""
    with no_collection():
        fastest = warm_up(step)
        bundle = 1 if fastest >= SHORT else math.ceil(BUNDLE / fastest)
        one = Round([], [], [], [])
        for _ in range(calls_for(fastest * bundle, timing)):
            switches, faults = _disturbances()
            cpu, wall = time.process_time_ns(), time.perf_counter_ns()
            for _ in range(bundle):
                results = step()
            wall, cpu = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
            after = _disturbances()
            del results  # freeing the output and the gradients of the last call is no part of it
            one.wall.append(wall / bundle / 1e9)
            one.cpu.append(cpu / bundle / 1e9)
            one.switches.append(after[0] - switches)
            one.faults.append((after[1] - faults) / bundle)
    return one
