"""Timing of one round of calls on a GPU, by one of four timers.

    cold   events around each call, the L2 cache flushed before it: an operator inside a network, whose data others have pushed out
    hot    events around calls one after the other: the caches hold what they can
    graph  a CUDA graph of some calls replayed: hot, and nothing is left of Python and of launching
    wall   the host's clock around a call and the wait for it: what one who waits for each call sees, launching included

Events see the device alone, as long as work is queued ahead of it: each burst of calls stands behind a kernel that waits until the
host has enqueued it. Events resolve about 0.5 us, so `hot` and `graph` bundle short calls to one sample; `cold` cannot, and a cold
call below 20 us has that error. Where the host takes longer to enqueue a call than the device to run it, `launch_bound` says that
a program which does not queue ahead runs slower than the figure.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from statistics import median
from typing import NamedTuple

import torch

from bench.spec import Timing
from bench.stats.rounds import Round
from bench.system import nvml
from bench.timers.cpu import WARM_CALLS, Step, calls_for, no_collection, warm_up
from methods import Unsupported

SHORT = 20e-6  # seconds on the device; shorter calls are bundled to one sample
BUNDLE = 200e-6  # seconds of a bundled sample: events err by a quarter of a percent of it
FLUSH = 64 << 20  # bytes that a flush writes at least; twice the L2 cache where that is more
PROBES = 5
WARM_SECONDS = 0.025  # a device raises its clock in tens of milliseconds
BURST = 4e-3  # seconds of enqueueing, about 1000 launches: more would fill the device's queue and the host would wait
AROUND = 20e-6  # seconds to enqueue a flush and two events, generously
SPIN = 2e9  # cycles a second of the waiting kernel: a slower clock waits longer, which does no harm

failed_captures: list[str] = []  # of this process


class Pace(NamedTuple):
    """Seconds of one call: the host's to enqueue it, and the device's to run it with warm caches."""

    enqueue: float
    run: float


def cuda_round(step: Step, timing: Timing, device: str) -> Round:
    """Warm up, then sample with the clock watched; raises `Unsupported` where the timer is a graph and capturing fails."""
    card, sample = nvml.gpu(device), TIMERS[timing.timer]
    with torch.cuda.device(device), no_collection():

        def warm() -> float:
            return warm_up(lambda: synchronised(step), WARM_SECONDS)

        calls = calls_for(warm(), timing)
        pace = pace_of(step)
        wall, facts = nvml.steady_round(lambda: sample(step, calls, pace), card.read, warm)
        seconds = pace.run if timing.timer == "wall" else median(wall)
        return Round(wall, [], [0] * len(wall), [], {**facts, **launching(step, calls, pace, seconds)})


def launching(step: Step, calls: int, pace: Pace, seconds: float) -> dict[str, float | None]:
    """Whether the host takes longer to enqueue a call than the device's `seconds`, and then a call's time inside a graph."""
    if pace.enqueue < seconds:
        return {"launch_bound": 0, "graph_ms": None}
    try:
        return {"launch_bound": 1, "graph_ms": median(graph(step, calls, pace)) * 1e3}
    except (Unsupported, torch.OutOfMemoryError):
        return {"launch_bound": 1, "graph_ms": None}


def synchronised(step: Step) -> None:
    step()
    torch.cuda.synchronize()


def pace_of(step: Step) -> Pace:
    """Medians of a few calls, each enqueued to an idle device."""
    seconds = []
    for _ in range(PROBES):
        begin = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begin)
        torch.cuda.synchronize()
    enqueue = median(seconds)
    return Pace(enqueue, median(device_times(step, PROBES, enqueue)))


def device_times(call: Step, samples: int, enqueue: float, before: Step | None = None) -> list[float]:
    """Seconds on the device of each of `samples` calls that the host enqueues in `enqueue` seconds; `before` each is not timed."""
    each, found = enqueue + AROUND, list[float]()
    while len(found) < samples:
        burst = min(max(int(BURST / each), 1), samples - len(found))
        events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(burst)]
        hold_device(each * burst)
        for start, end in events:
            if before:
                before()
            start.record()
            call()
            end.record()
        torch.cuda.synchronize()
        found += [start.elapsed_time(end) / 1e3 for start, end in events]
    return found


def hold_device(seconds: float) -> None:
    """Keep the device busy while the host enqueues; without torch's waiting kernel the first calls show how they are launched."""
    if hasattr(torch.cuda, "_sleep"):
        torch.cuda._sleep(int(seconds * SPIN))


def cold(step: Step, samples: int, pace: Pace) -> list[float]:
    return device_times(step, samples, pace.enqueue, flush())


def hot(step: Step, samples: int, pace: Pace) -> list[float]:
    count = bundle(pace.run)
    return [seconds / count for seconds in device_times(repeated(step, count), samples, pace.enqueue * count)]


def graph(step: Step, samples: int, pace: Pace) -> list[float]:
    """Raises `Unsupported` where capturing fails."""
    count = bundle(pace.run)
    replay = captured(repeated(step, count))
    for _ in range(WARM_CALLS):
        synchronised(replay)
    return [seconds / count for seconds in device_times(replay, samples, AROUND)]


def wall(step: Step, samples: int, pace: Pace) -> list[float]:
    found = []
    for _ in range(samples):
        begin = time.perf_counter()
        synchronised(step)
        found.append(time.perf_counter() - begin)
    return found


TIMERS: dict[str, Callable[[Step, int, Pace], list[float]]] = {"cold": cold, "hot": hot, "graph": graph, "wall": wall}


def bundle(seconds: float) -> int:
    """How many calls of that length make one sample."""
    return 1 if seconds >= SHORT else math.ceil(BUNDLE / seconds)


def repeated(step: Step, count: int) -> Step:
    def calls() -> None:
        for _ in range(count):
            step()

    return calls


def flush() -> Step:
    """Overwrites more memory than the current device's L2 cache holds."""
    cached = torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
    return torch.empty(max(2 * cached, FLUSH), dtype=torch.int8, device="cuda").zero_


@cache
def side_stream(index: int) -> torch.cuda.Stream:
    """The stream that a device's graphs are captured on: one, for cuBLAS keeps a workspace for every stream it has seen."""
    return torch.cuda.Stream(index)


def captured(call: Step) -> Step:
    """The replay of a graph of the call, warmed up on its stream before; raises `Unsupported` where capturing fails."""
    stream, replayed = side_stream(torch.cuda.current_device()), torch.cuda.CUDAGraph()
    stream.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(stream):
            for _ in range(WARM_CALLS):
                call()
            with no_waiting():
                call()
        torch.cuda.synchronize()
        capture(call, replayed, stream)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise Unsupported(f"no CUDA graph of it: {' '.join(str(error).split())[:200]}") from error
    return replayed.replay


def capture(call: Step, into: torch.cuda.CUDAGraph, stream: torch.cuda.Stream) -> None:
    """Raises RuntimeError where it fails, which also leaves this process unfit: see `cuda_healthy`."""
    try:
        # some versions of torch leave the graph's stream the current one when capturing fails: the outer context takes it back
        with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(into, stream=stream):
            call()
    except RuntimeError as error:
        failed_captures.append(str(error))
        raise


@contextmanager
def no_waiting() -> Iterator[None]:
    """A call that makes the host wait for the device raises RuntimeError: found out before it breaks a capture."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that it does not see every way of waiting
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def cuda_reset(device: str) -> None:
    """Give back what a cell leaves on the device: cuFFT's plans, cuBLAS' workspaces and the cached memory."""
    with torch.cuda.device(device):
        torch.cuda.synchronize()
        torch.backends.cuda.cufft_plan_cache[torch.cuda.current_device()].clear()
        if hasattr(torch._C, "_cuda_clearCublasWorkspaces"):
            torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()


def cuda_healthy(device: str) -> bool:
    """Whether this process can go on with the device.

    After a failed assertion in a kernel every call raises until the process ends. A failed capture leaves the allocator and the
    random numbers in a state from which not every version of torch comes back.
    """
    try:
        torch.cuda.synchronize(device)
        return not failed_captures and int(torch.ones(1, device=device).add(1).item()) == 2
    except RuntimeError:
        return False
