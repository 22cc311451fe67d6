"""Energy of one call: what the device's counter gains over seconds of calls, less what it gains at rest.

What the number means: joules a call with warm caches, at the clock and temperature of a device that does nothing else, the median
over windows. Rest is measured just before each window, in the state that the device falls into by itself. The counter is that of
the whole GPU with its memory, or of the CPU packages with all their cores: whatever else runs there is in it, which is why the
windows of all methods are interleaved. What it does not mean: the energy of the machine (host, memory modules, power supply), nor
a cold call's. A GPU's counter moves every 20 to 100 ms and samples its power, so windows below a second are refused.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from statistics import median
from typing import NamedTuple, TypeVar

import torch

from bench.spec import Energy
from bench.stats.rounds import log_interval
from bench.system.rapl import Packages
from bench.timers.cpu import Step, no_collection, warm_up
from bench.workload.build import Measurement, Workload
from methods import Unsupported

SHORTEST = 1.0  # seconds of a window
CHUNK, MOST = 0.05, 100  # seconds and calls between looks at the clock, on a GPU also the length of its queue

Counter = Callable[[], float]  # joules since some moment
T = TypeVar("T")


class Window(NamedTuple):
    """One window: its calls, seconds and joules, and the watts of the rest before it."""

    calls: int
    seconds: float
    joules: float
    idle: float

    @property
    def per_call(self) -> float:
        return (self.joules - self.idle * self.seconds) / self.calls


def measure(workload: Workload, protocol: Energy) -> Generator[bool, bool, Measurement]:
    """Yields after each window; raises `Unsupported` where there is no counter, or a call is not told apart from rest."""
    if protocol.window_seconds < SHORTEST:
        raise Unsupported(f"windows of {protocol.window_seconds:g} s: below {SHORTEST:g} s the counter says too little")
    device = torch.device(workload.cell.device)
    source, counter = counter_of(device)
    windows: list[Window] = []
    while len(windows) < protocol.windows:
        with workload.checked_for_drift(seed=len(windows)) as step, no_collection():
            windows.append(window(step, counter, protocol, waiting(device)))
        yield len(windows) == protocol.windows
    return Measurement(summary(windows) | {"energy_source": source}, samples={"windows": [one._asdict() for one in windows]})


def counter_of(device: torch.device) -> tuple[str, Counter]:
    """The name of the device's counter and its reading in joules; raises `Unsupported` where there is none."""
    if device.type == "cpu":
        return "rapl", Packages().joules
    from bench.system import nvml

    card = nvml.gpu(str(device))

    def joules() -> float:
        energy = card.energy()
        if energy is None:
            raise Unsupported(f"no energy counter: {card.reason}")
        return energy

    joules()
    return "nvml", joules


def waiting(device: torch.device) -> Callable[[], None]:
    """What waits until the device has done its work."""
    return (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else lambda: None


def window(step: Step, counter: Counter, protocol: Energy, wait: Callable[[], None]) -> Window:
    """Rest, warm up, then calls without pause for the length of the window."""
    wait()
    _, seconds, joules = spent(lambda: time.sleep(protocol.idle_seconds), counter)
    idle = joules / seconds

    def synchronised() -> None:
        step()
        wait()

    chunk = min(max(int(CHUNK / warm_up(synchronised)), 1), MOST)
    return Window(*spent(lambda: calls_in(step, protocol.window_seconds, chunk, wait), counter), idle)


def spent(work: Callable[[], T], counter: Counter) -> tuple[T, float, float]:
    """What the work gives, and the seconds and joules that it takes."""
    before, begin = counter(), time.perf_counter()
    result = work()
    seconds = time.perf_counter() - begin
    return result, seconds, counter() - before


def calls_in(step: Step, seconds: float, chunk: int, wait: Callable[[], None]) -> int:
    """Call for that long; returns how often."""
    calls, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        for _ in range(chunk):
            step()
        wait()
        calls += chunk
    return calls


def summary(windows: Sequence[Window]) -> dict[str, float | str | None]:
    """The energy columns of a cell; raises `Unsupported` where a window took no more than rest."""
    energies = [one.per_call for one in windows]
    if min(energies) <= 0:
        raise Unsupported("a window of calls took no more energy than rest")
    mid, lo, hi = log_interval(energies)
    return {
        "energy_j": mid,
        "energy_lo_j": None if math.isnan(lo) else lo,
        "energy_hi_j": None if math.isnan(hi) else hi,
        "power_w": median(one.joules / one.seconds for one in windows),
        "idle_w": median(one.idle for one in windows),
        "energy_windows": len(windows),
        "energy_window_s": median(one.seconds for one in windows),
    }
