"""Energy of one call: the increase of the device's energy counter during seconds of calls, minus its increase when idle.

The value is in joules per call with warm caches, at the clock and temperature of a device that runs nothing else: the median over
windows. The idle power is measured just before each window. The counter is that of the whole GPU including its memory, or of the
CPU packages with all their cores. It includes all other processes there, so the windows of all methods are interleaved. The value
excludes the rest of the machine (host, memory modules, power supply) and is not that of a call with cold caches. The counter of a
GPU is updated every 20 to 100 ms from sampled power, so windows below one second are rejected.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from statistics import median
from typing import NamedTuple, TypeVar

import torch

from bench.columns import Column, Metric
from bench.spec import Energy
from bench.stats.rounds import log_interval
from bench.system.rapl import Packages
from bench.timers.cpu import Step, no_collection, warm_up
from bench.workload.build import Measurement, Workload
from methods import Unsupported

METRIC = Metric(
    columns=(
        Column(
            "energy_j",
            unit="J",
            better="lower",
            heading="energy, J",
            meaning="energy per call with warm caches: device energy during a window minus idle energy",
            interval=("energy_lo_j", "energy_hi_j"),
        ),
        Column("energy_lo_j", unit="J", meaning="lower end of the 95% confidence interval (t, log of the windows)"),
        Column("energy_hi_j", unit="J", meaning="upper end of the 95% confidence interval"),
        Column(
            "power_w",
            unit="W",
            better="lower",
            meaning="mean device power during the calls, including idle power: median over windows",
        ),
        Column("idle_w", unit="W", meaning="mean idle power just before the calls: median over windows"),
        Column("energy_windows", meaning="number of windows"),
        Column("energy_window_s", unit="s", meaning="median length of a window"),
        Column(
            "energy_source", unit="name", meaning="nvml: counter of the whole GPU; rapl: counters of the CPU packages, all cores"
        ),
    ),
    default=False,
    interleaved=True,
    typical_seconds=14.0,
    change="interval",
    observations="energy_windows",
)

MIN_WINDOW = 1.0  # seconds
CHUNK, MAX_CALLS = 0.05, 100  # maximum seconds and calls between reads of the clock, and length of a GPU's queue

Counter = Callable[[], float]  # joules since a fixed moment
T = TypeVar("T")


class Window(NamedTuple):
    """The calls, seconds and joules of a window, and the idle power in watts before it."""

    calls: int
    seconds: float
    joules: float
    idle: float

    @property
    def per_call(self) -> float:
        return (self.joules - self.idle * self.seconds) / self.calls


def measure(workload: Workload, protocol: Energy) -> Generator[bool, bool, Measurement]:
    """Measure the energy per call. Yields after each window.

    Raises `Unsupported` if there is no counter or a window of calls takes no more energy than an idle device.
    """
    if protocol.window_seconds < MIN_WINDOW:
        raise Unsupported(
            f"energy windows of {protocol.window_seconds:g} s are too short: the counter needs at least {MIN_WINDOW:g} s"
        )
    device = torch.device(workload.cell.device)
    source, counter = counter_of(device)
    windows: list[Window] = []
    while len(windows) < protocol.windows:
        with workload.checked_for_drift(seed=len(windows)) as step, no_collection():
            windows.append(window(step, counter, protocol, waiting(device)))
        yield len(windows) == protocol.windows
    return Measurement(
        summary(windows) | {"energy_source": source}, samples={"windows": [one_window._asdict() for one_window in windows]}
    )


def counter_of(device: torch.device) -> tuple[str, Counter]:
    """Return the name of the device's energy counter and a function that reads it in joules.

    Raises `Unsupported` if there is no counter.
    """
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
    """Return a function that waits until the device has finished its work."""
    return (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else lambda: None


def window(step: Step, counter: Counter, protocol: Energy, wait: Callable[[], None]) -> Window:
    """Measure a window: idle, warm up, then call without pause for the length of the window."""
    wait()
    _, seconds, joules = spent(lambda: time.sleep(protocol.idle_seconds), counter)
    idle = joules / seconds

    def synchronised() -> None:
        step()
        wait()

    chunk = min(max(int(CHUNK / warm_up(synchronised)), 1), MAX_CALLS)
    return Window(*spent(lambda: calls_in(step, protocol.window_seconds, chunk, wait), counter), idle)


def spent(work: Callable[[], T], counter: Counter) -> tuple[T, float, float]:
    """Return the result of `work` and the seconds and joules that it takes."""
    before, begin = counter(), time.perf_counter()
    result = work()
    seconds = time.perf_counter() - begin
    return result, seconds, counter() - before


def calls_in(step: Step, seconds: float, chunk: int, wait: Callable[[], None]) -> int:
    """Call for this number of seconds. Return the number of calls."""
    calls, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        for _ in range(chunk):
            step()
        wait()
        calls += chunk
    return calls


def summary(windows: Sequence[Window]) -> dict[str, float | str | None]:
    """Return the energy columns of a cell. Raises `Unsupported` if a window took no more energy than idling."""
    energies = [window.per_call for window in windows]
    if min(energies) <= 0:
        raise Unsupported("a window of calls took no more energy than an idle device")
    mid, lo, hi = log_interval(energies)
    return {
        "energy_j": mid,
        "energy_lo_j": None if math.isnan(lo) else lo,
        "energy_hi_j": None if math.isnan(hi) else hi,
        "power_w": median(window.joules / window.seconds for window in windows),
        "idle_w": median(window.idle for window in windows),
        "energy_windows": len(windows),
        "energy_window_s": median(window.seconds for window in windows),
    }
