"""The state of a GPU as its driver tells it (NVML), and rounds that are repeated while the card slows itself down.

Nothing here raises into a measurement: what the driver does not tell is None, and `Gpu.reason` says why. The library comes with the
driver and its interface is fixed, so it is called directly: not every version of torch brings a Python package for it.
Importing this module touches neither NVML nor CUDA.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar

import torch

LIBRARY = "libnvidia-ml.so.1"
SM_CLOCK, ON_DIE = 1, 0  # numbers of NVML's clock domains and temperature sensors
# Reasons for a low clock that are nobody's setting: idle, power cap, slowdown, heat (seen by software, by hardware), power brake
OWN_REASONS = 0x1 | 0x4 | 0x8 | 0x20 | 0x40 | 0x80
SLOW = 0.75  # of the card's highest clock: below this mean a round is discarded
RETRIES = 5
PAUSE, GROWTH, LONGEST = 0.05, 1.5, 0.5  # seconds before the first repetition, times longer before each next one, at most
MOST_PROCESSES = 64

T = TypeVar("T")
Facts = Mapping[str, float | str | None]


class Process(ctypes.Structure):
    """NVML's nvmlProcessInfo_t."""

    _fields_ = (
        ("pid", ctypes.c_uint),
        ("memory", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


class Reading(NamedTuple):
    """The card at one moment: clocks in MHz, degrees Celsius, a bit mask, a number of processes."""

    sm_clock: float | None = None
    max_clock: float | None = None
    temperature: float | None = None
    reasons: int | None = None  # why the clock is what it is
    foreign: int | None = None  # other processes that compute on the card


class Gpu:
    """One card. Without a library every question is answered None."""

    def __init__(self, library: Any, handle: Any, reason: str = ""):
        self.library, self.handle, self.reason = library, handle, reason

    def _call(self, function: str, *args: Any) -> bool:
        """Whether NVML answered; otherwise `reason` tells what it said."""
        if self.library is None:
            return False
        try:
            code = getattr(self.library, function)(self.handle, *args)
        except AttributeError:
            self.reason = f"the driver's NVML has no {function}"
            return False
        if code:
            self.reason = f"{function} gave NVML error {code}"
        return code == 0

    def _number(self, function: str, *args: Any, kind: Any = ctypes.c_uint) -> int | None:
        answer = kind()
        return int(answer.value) if self._call(function, *args, ctypes.byref(answer)) else None

    def energy(self) -> float | None:
        """Joules since the driver was loaded, of the whole card."""
        millijoules = self._number("nvmlDeviceGetTotalEnergyConsumption", kind=ctypes.c_ulonglong)
        return None if millijoules is None else millijoules / 1e3

    def foreign(self) -> int | None:
        """Computing processes besides this one, which holds the card; None where the driver lists none at all.

        Inside a container the list has the host's process numbers, in which this process does not find its own.
        """
        count, found = ctypes.c_uint(MOST_PROCESSES), (Process * MOST_PROCESSES)()
        if not self._call("nvmlDeviceGetComputeRunningProcesses_v3", ctypes.byref(count), found):
            return None
        listed = {found[index].pid for index in range(min(count.value, MOST_PROCESSES))}
        return len(listed) - 1 if listed else None

    def read(self) -> Reading:
        return Reading(
            self._number("nvmlDeviceGetClockInfo", SM_CLOCK),
            self._number("nvmlDeviceGetMaxClockInfo", SM_CLOCK),
            self._number("nvmlDeviceGetTemperature", ON_DIE),
            self._number("nvmlDeviceGetCurrentClocksEventReasons", kind=ctypes.c_ulonglong),
            self.foreign(),
        )


@cache
def gpu(device: str) -> Gpu:
    """The card behind a CUDA device, found by its UUID: CUDA_VISIBLE_DEVICES numbers devices otherwise than NVML does."""
    return find(str(torch.cuda.get_device_properties(device).uuid))


def find(uuid: str, load: Callable[[str], Any] = ctypes.CDLL) -> Gpu:
    """The card, or part of one, of that UUID."""
    try:
        library = load(LIBRARY)
        code = library.nvmlInit_v2()
    except (OSError, AttributeError) as error:
        return Gpu(None, None, f"no NVML: {error}")
    if code:
        return Gpu(None, None, f"nvmlInit_v2 gave NVML error {code}")
    for kind in ("GPU", "MIG"):
        handle = ctypes.c_void_p()
        code = library.nvmlDeviceGetHandleByUUID(f"{kind}-{uuid}".encode(), ctypes.byref(handle))
        if code == 0:
            return Gpu(library, handle)
    return Gpu(None, None, f"NVML knows no card {uuid}: error {code}")


def mean_clock(readings: Sequence[Reading]) -> float | None:
    clocks = [one.sm_clock for one in readings if one.sm_clock is not None]
    return sum(clocks) / len(clocks) if clocks else None


def slow(readings: Sequence[Reading]) -> bool | None:
    """Whether the mean clock is below `SLOW` of the card's highest for a reason of its own; None where no clock is told.

    The highest clock rather than the highest seen: a card that is hot from the start has never shown it. A clock that somebody has
    set low is no slowdown, and the row has it in a column.
    """
    clock, highest = mean_clock(readings), readings[-1].max_clock
    if clock is None or not highest:
        return None
    reasons = [one.reasons for one in readings]
    return clock < SLOW * highest and any(one is None or one & OWN_REASONS for one in reasons)


def pauses() -> list[float]:
    """Seconds to wait before each repetition."""
    return [min(PAUSE * GROWTH**number, LONGEST) for number in range(RETRIES)]


def steady_round(
    measure: Callable[[], T],
    read: Callable[[], Reading],
    warm: Callable[[], object],
    sleep: Callable[[float], object] = time.sleep,
) -> tuple[T, Facts]:
    """What `measure` gives with the clock up before and after it, and the columns that tell so.

    A slow round is discarded and taken again after a pause and a new warm-up; the last one is kept whatever its clock, and flagged.
    """
    waits = iter(pauses())
    while True:
        before = read()
        result = measure()
        readings = (before, read())
        throttled = slow(readings)
        wait = next(waits, None) if throttled else None
        if wait is None:
            return result, facts(readings, throttled)
        sleep(wait)
        warm()


def facts(readings: Sequence[Reading], throttled: bool | None) -> Facts:
    """The columns of a round's readings: the mean clock, the highest temperature, the most foreign processes."""
    temperatures = [one.temperature for one in readings if one.temperature is not None]
    foreign = [one.foreign for one in readings if one.foreign is not None]
    return {
        "throttled": None if throttled is None else int(throttled),
        "sm_clock_mhz": mean_clock(readings),
        "gpu_temperature_c": max(temperatures, default=None),
        "foreign_processes": max(foreign, default=None),
    }
