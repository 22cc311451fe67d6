"""Read the state of a GPU through NVML, and repeat rounds during which the GPU throttles.

No function raises into a measurement: values that the driver does not report are None, and `Gpu.reason` states why. NVML is part of
the driver and has a stable interface. It is called through ctypes, because not every version of torch installs a Python package for
it. Importing this module initialises neither NVML nor CUDA.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar

import torch

LIBRARY = "libnvidia-ml.so.1"
SM_CLOCK, ON_DIE = 1, 0  # NVML's constants for the clock domain and the temperature sensor
# Reasons for a low clock other than a user's setting: idle, power cap, slowdown, heat (software, hardware), power brake
THROTTLE_REASONS = 0x1 | 0x4 | 0x8 | 0x20 | 0x40 | 0x80
SLOW = 0.75  # of the GPU's maximum clock: a round with a lower mean clock is discarded
RETRIES = 5
PAUSE, GROWTH, LONGEST = 0.05, 1.5, 0.5  # seconds before the first repetition, growth factor per repetition, maximum
MAX_PROCESSES = 64

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
    """The state of a GPU at one moment. Clocks are in MHz, the temperature is in degrees Celsius."""

    sm_clock: float | None = None
    max_clock: float | None = None
    temperature: float | None = None
    reasons: int | None = None  # bit mask of the reasons for the current clock
    foreign: int | None = None  # number of other processes that compute on the GPU


class Gpu:
    """A GPU. Without the library all values are None."""

    def __init__(self, library: Any, handle: Any, reason: str = ""):
        self.library, self.handle, self.reason = library, handle, reason

    def _call(self, function: str, *args: Any) -> bool:
        """Call NVML and return whether it succeeded. Otherwise `reason` holds the error."""
        if self.library is None:
            return False
        try:
            code = getattr(self.library, function)(self.handle, *args)
        except AttributeError:
            self.reason = f"the driver's NVML has no {function}"
            return False
        if code:
            self.reason = f"{function} returned NVML error {code}"
        return code == 0

    def _number(self, function: str, *args: Any, kind: Any = ctypes.c_uint) -> int | None:
        value = kind()
        return int(value.value) if self._call(function, *args, ctypes.byref(value)) else None

    def energy(self) -> float | None:
        """Return the energy of the whole GPU in joules since the driver was loaded."""
        millijoules = self._number("nvmlDeviceGetTotalEnergyConsumption", kind=ctypes.c_ulonglong)
        return None if millijoules is None else millijoules / 1e3

    def foreign(self) -> int | None:
        """Return the number of other compute processes, or None if the driver lists no process.

        This process is assumed to be one of the listed ones: inside a container the driver reports the process numbers of the host.
        """
        count, processes = ctypes.c_uint(MAX_PROCESSES), (Process * MAX_PROCESSES)()
        if not self._call("nvmlDeviceGetComputeRunningProcesses_v3", ctypes.byref(count), processes):
            return None
        listed = {processes[index].pid for index in range(min(count.value, MAX_PROCESSES))}
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
    """Return the GPU of a CUDA device, identified by its UUID because CUDA_VISIBLE_DEVICES changes the numbering."""
    return find(str(torch.cuda.get_device_properties(device).uuid))


def find(uuid: str, load: Callable[[str], Any] = ctypes.CDLL) -> Gpu:
    """Return the GPU, or the MIG instance, of this UUID."""
    try:
        library = load(LIBRARY)
        code = library.nvmlInit_v2()
    except (OSError, AttributeError) as error:
        return Gpu(None, None, f"no NVML: {error}")
    if code:
        return Gpu(None, None, f"nvmlInit_v2 returned NVML error {code}")
    for kind in ("GPU", "MIG"):
        handle = ctypes.c_void_p()
        code = library.nvmlDeviceGetHandleByUUID(f"{kind}-{uuid}".encode(), ctypes.byref(handle))
        if code == 0:
            return Gpu(library, handle)
    return Gpu(None, None, f"NVML does not know the GPU {uuid}: error {code}")


def mean_clock(readings: Sequence[Reading]) -> float | None:
    clocks = [reading.sm_clock for reading in readings if reading.sm_clock is not None]
    return sum(clocks) / len(clocks) if clocks else None


def slow(readings: Sequence[Reading]) -> bool | None:
    """Return whether the GPU throttles: its mean clock is below `SLOW` of its maximum clock. None if no clock is reported.

    The maximum is the nominal one and not the highest observed: a GPU that is hot from the start never reaches it. A low clock that
    a user has set is not throttling; it is reported in a column.
    """
    clock, highest = mean_clock(readings), readings[-1].max_clock
    if clock is None or not highest:
        return None
    reasons = [reading.reasons for reading in readings]
    return clock < SLOW * highest and any(mask is None or mask & THROTTLE_REASONS for mask in reasons)


def pauses() -> list[float]:
    """Return the seconds to wait before each repetition."""
    return [min(PAUSE * GROWTH**number, LONGEST) for number in range(RETRIES)]


def steady_round(
    measure: Callable[[], T],
    read: Callable[[], Reading],
    warm: Callable[[], object],
    sleep: Callable[[float], object] = time.sleep,
) -> tuple[T, Facts]:
    """Return the result of `measure` and the columns of the GPU's state before and after it.

    A throttled round is discarded and repeated after a pause and a warm-up. After `RETRIES` repetitions the last round is accepted
    and flagged.
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
    """Return the columns of a round: mean clock, maximum temperature, maximum number of other processes."""
    temperatures = [reading.temperature for reading in readings if reading.temperature is not None]
    foreign = [reading.foreign for reading in readings if reading.foreign is not None]
    return {
        "throttled": None if throttled is None else int(throttled),
        "sm_clock_mhz": mean_clock(readings),
        "gpu_temperature_c": max(temperatures, default=None),
        "foreign_processes": max(foreign, default=None),
    }
