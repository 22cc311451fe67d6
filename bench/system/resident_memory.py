"""By how much one call makes the process grow: the resident peak during the call less what was resident before it. Linux, glibc.

What the number means: pages that the call touches beyond those the process already holds, whoever asks for them: torch, a
library's own scratch, Python. What it does not mean: the growth of a process under other allocator settings. A heap that keeps its
blocks has holes, and which hole a block falls into depends on everything before: the same training step reads anything from one to
three times its blocks. Therefore each block of 128 KiB or more comes straight from the system here, in a thread whose heap is new.
The kernel counts pages in batches for each processor: the figure is exact to about 0.5 MB, and below that there is none.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
RESET_PEAK = "5"
REPEATS = 5
RESOLUTION = 2**19
BLOCK = 128 * 2**10
# Parameters of glibc's mallopt by the name that sets them in the environment: number, value here, value where nothing is set. The
# last ones are those that glibc itself arrives at after it has freed one large block.
C_INT = 2**31 - 1
PARAMETERS = {
    "MALLOC_MMAP_MAX_": (-4, 65536, 65536),
    "MALLOC_MMAP_THRESHOLD_": (-3, BLOCK, 2**25),
    "MALLOC_TOP_PAD_": (-2, BLOCK, BLOCK),
    "MALLOC_TRIM_THRESHOLD_": (-1, BLOCK, 2**26),
}


def rss_growth(step: Callable[[], Any]) -> int | None:
    """Bytes, the median of `REPEATS` calls after a first one. None where it is too small to be read or the system does not say."""
    libc = ctypes.CDLL(None)
    if not (hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") and _peak_can_be_reset()):
        return None
    with blocks_from_the_system(libc), ThreadPoolExecutor(1) as thread:
        growth = thread.submit(_growth, step, libc).result()
    return growth if growth >= RESOLUTION else None


def _peak_can_be_reset() -> bool:
    try:
        CLEAR_REFS.write_text(RESET_PEAK)
    except OSError:
        return False
    return True


@contextmanager
def blocks_from_the_system(libc: ctypes.CDLL) -> Iterator[None]:
    """While active the system hands out each large block and takes it back when it is freed; then the heap is kept as before."""
    for number, value, _ in PARAMETERS.values():
        libc.mallopt(number, value)
    try:
        yield
    finally:
        for name, (number, _, default) in PARAMETERS.items():
            libc.mallopt(number, min(int(os.environ.get(name, default)), C_INT))  # what is larger would wrap around


def _growth(step: Callable[[], Any], libc: ctypes.CDLL) -> int:
    step()  # scratch that a library keeps for each thread is held before the call
    gc.collect()
    return round(statistics.median(_one_growth(step, libc) for _ in range(REPEATS)))


def _one_growth(step: Callable[[], Any], libc: ctypes.CDLL) -> int:
    libc.malloc_trim(0)
    CLEAR_REFS.write_text(RESET_PEAK)
    before = resident("VmRSS")
    step()
    return resident("VmHWM") - before


def resident(name: str) -> int:
    """Bytes of a line of /proc/self/status: VmRSS now, VmHWM at most since the peak was reset."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{STATUS} has no line {name}")
    return int(found[1]) * 1024
