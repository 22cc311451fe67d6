"""Time a round of calls on a GPU with one of four timers.

    cold   CUDA events around each call, after a flush of the L2 cache: similar to an operator inside a network, whose data other
           layers have evicted
    hot    CUDA events around consecutive calls: the caches are warm
    graph  replays of a CUDA graph of several calls: warm caches, without the overhead of Python and of kernel launches
    wall   the host's clock around a call and a synchronisation: the latency of a synchronous call, including the launches

Events measure only the device as long as work is queued ahead of it. Therefore each burst of calls is queued behind a kernel that
spins until the host has enqueued the burst. Events resolve about 0.5 us, so `hot` and `graph` combine short calls into one sample.
`cold` cannot, so a cold call below 20 us has that error. If the host takes longer to enqueue a call than the device to run it,
`launch_bound` is 1: a program that does not queue ahead is slower than the measured value.
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

SHORT = 20e-6  # seconds on the device; shorter calls are combined into one sample
BUNDLE = 200e-6  # seconds of such a sample: the error of events is 0.25% of it
FLUSH = 64 << 20  # minimum bytes that a flush writes; twice the L2 cache if that is more
PROBES = 5
WARM_SECONDS = 0.025  # a GPU raises its clock within tens of milliseconds
BURST = 4e-3  # seconds of enqueueing, about 1000 launches: more would fill the queue of the device and block the host
OVERHEAD = 20e-6  # upper estimate of the seconds to enqueue a flush and two events
SPIN = 2e9  # cycles per second of the spinning kernel: a slower clock waits longer, which is harmless

failed_captures: list[str] = []  # of this process


class Pace(NamedTuple):
    """Seconds of one call: of the host to enqueue it, and of the device to run it with warm caches."""

    enqueue: float
    run: float


def cuda_round(step: Step, timing: Timing, device: str) -> Round:
    """Warm up, then sample, repeating the round while the GPU throttles.

    Raises `Unsupported` if the timer is `graph` and the capture fails.
    """
    card, sample = nvml.gpu(device), TIMERS[timing.timer]
    with torch.cuda.device(device), no_collection():

        def warm() -> float:
            return warm_up(lambda: synchronised(step), WARM_SECONDS)

        calls = calls_for(warm(), timing)
        pace = pace_of(step)
        wall, facts = nvml.steady_round(lambda: sample(step, calls, pace), card.read, warm)
        seconds = pace.run if timing.timer == "wall" else median(wall)
        return Round(wall, [], [0] * len(wall), [], {**facts, **launch_columns(step, calls, pace, seconds)})


def launch_columns(step: Step, calls: int, pace: Pace, seconds: float) -> dict[str, float | None]:
    """Return `launch_bound`, 1 if enqueueing a call takes longer than `seconds` on the device, and then `graph_ms`."""
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
    """Return the medians of a few calls, each enqueued to an idle device."""
    seconds = []
    for _ in range(PROBES):
        begin = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begin)
        torch.cuda.synchronize()
    enqueue = median(seconds)
    return Pace(enqueue, median(device_times(step, PROBES, enqueue)))


def device_times(call: Step, samples: int, enqueue: float, before: Step | None = None) -> list[float]:
    """Return the seconds on the device of each of `samples` calls.

    `enqueue` is the seconds of the host per call. `before` runs before each call and is not timed.
    """
    each, times = enqueue + OVERHEAD, list[float]()
    while len(times) < samples:
        burst = min(max(int(BURST / each), 1), samples - len(times))
        events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(burst)]
        hold_device(each * burst)
        for start, end in events:
            if before:
                before()
            start.record()
            call()
            end.record()
        torch.cuda.synchronize()
        times += [start.elapsed_time(end) / 1e3 for start, end in events]
    return times


def hold_device(seconds: float) -> None:
    """Keep the device busy while the host enqueues.

    Without torch's spinning kernel, the times of the first calls include their launches.
    """
    if hasattr(torch.cuda, "_sleep"):
        torch.cuda._sleep(int(seconds * SPIN))


def cold(step: Step, samples: int, pace: Pace) -> list[float]:
    return device_times(step, samples, pace.enqueue, flush())


def hot(step: Step, samples: int, pace: Pace) -> list[float]:
    count = calls_per_sample(pace.run)
    return [seconds / count for seconds in device_times(repeated(step, count), samples, pace.enqueue * count)]


def graph(step: Step, samples: int, pace: Pace) -> list[float]:
    """Return samples of a replayed graph. Raises `Unsupported` if the capture fails."""
    count = calls_per_sample(pace.run)
    replay = captured(repeated(step, count))
    for _ in range(WARM_CALLS):
        synchronised(replay)
    return [seconds / count for seconds in device_times(replay, samples, OVERHEAD)]


def wall(step: Step, samples: int, pace: Pace) -> list[float]:
    times = []
    for _ in range(samples):
        begin = time.perf_counter()
        synchronised(step)
        times.append(time.perf_counter() - begin)
    return times


TIMERS: dict[str, Callable[[Step, int, Pace], list[float]]] = {"cold": cold, "hot": hot, "graph": graph, "wall": wall}


def calls_per_sample(seconds: float) -> int:
    """Return the number of calls of this duration in one sample."""
    return 1 if seconds >= SHORT else math.ceil(BUNDLE / seconds)


def repeated(step: Step, count: int) -> Step:
    def calls() -> None:
        for _ in range(count):
            step()

    return calls


def flush() -> Step:
    """Return a function that overwrites more memory than the L2 cache of the current device holds."""
    size = torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
    return torch.empty(max(2 * size, FLUSH), dtype=torch.int8, device="cuda").zero_


@cache
def capture_stream(index: int) -> torch.cuda.Stream:
    """Return the capture stream of a device. There is only one, because cuBLAS allocates a workspace per stream."""
    return torch.cuda.Stream(index)


def captured(call: Step) -> Step:
    """Return the replay of a graph of the call, which is warmed up on the capture stream first.

    Raises `Unsupported` if the capture fails.
    """
    stream, cuda_graph = capture_stream(torch.cuda.current_device()), torch.cuda.CUDAGraph()
    stream.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(stream):
            for _ in range(WARM_CALLS):
                call()
            with no_synchronisation():
                call()
        torch.cuda.synchronize()
        capture(call, cuda_graph, stream)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise Unsupported(f"no CUDA graph of the call: {' '.join(str(error).split())[:200]}") from error
    return cuda_graph.replay


def capture(call: Step, into: torch.cuda.CUDAGraph, stream: torch.cuda.Stream) -> None:
    """Capture the call. Raises RuntimeError on failure; the process must not be used afterwards, see `cuda_healthy`."""
    try:
        # some versions of torch leave the capture stream current if the capture fails; the outer context restores it
        with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(into, stream=stream):
            call()
    except RuntimeError as error:
        failed_captures.append(str(error))
        raise


@contextmanager
def no_synchronisation() -> Iterator[None]:
    """Within the context, raise RuntimeError for a call that synchronises with the device, before it breaks a capture."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that not every synchronisation is detected
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def cuda_reset(device: str) -> None:
    """Free what a cell leaves on the device: cuFFT plans, cuBLAS workspaces and cached memory."""
    with torch.cuda.device(device):
        torch.cuda.synchronize()
        torch.backends.cuda.cufft_plan_cache[torch.cuda.current_device()].clear()
        if hasattr(torch._C, "_cuda_clearCublasWorkspaces"):
            torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()


def cuda_healthy(device: str) -> bool:
    """Return whether this process can continue to use the device.

    After a failed assertion in a kernel, every call raises until the process ends. After a failed capture, some versions of torch
    do not restore the state of the allocator and of the random number generators.
    """
    try:
        torch.cuda.synchronize(device)
        return not failed_captures and int(torch.ones(1, device=device).add(1).item()) == 2
    except RuntimeError:
        return False
