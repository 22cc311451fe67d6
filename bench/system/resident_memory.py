"""Measure the growth of the process during one call: peak resident memory minus resident memory before it. Linux with glibc.

The value counts all pages that the call touches in addition to those already resident, including those of torch, of a library's
workspace and of Python. It does not predict the growth under other allocator settings. In a fragmented heap, the block that an
allocation reuses depends on all previous allocations, and the growth of the same training step varies between one and three times
the size of its blocks. Therefore each block of 128 KiB or more is mapped from the system here, in a thread with a new heap. The
kernel counts pages in batches per core, so the value is accurate to about 0.5 MB, and smaller values are None.
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
# Parameters of glibc's mallopt by environment variable: (number, value here, default). The defaults of the last ones are the values
# that glibc adopts after it has freed one large block.
C_INT = 2**31 - 1
PARAMETERS = {
    "MALLOC_MMAP_MAX_": (-4, 65536, 65536),
    "MALLOC_MMAP_THRESHOLD_": (-3, BLOCK, 2**25),
    "MALLOC_TOP_PAD_": (-2, BLOCK, BLOCK),
    "MALLOC_TRIM_THRESHOLD_": (-1, BLOCK, 2**26),
}


def rss_growth(step: Callable[[], Any]) -> int | None:
    """Return the growth in bytes, the median of `REPEATS` calls after a first one.

    Returns None if it is below `RESOLUTION` or the system does not support the measurement.
    """
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
    """Within the context, map each large block from the system and unmap it when it is freed. Then restore the settings."""
    for number, value, _ in PARAMETERS.values():
        libc.mallopt(number, value)
    try:
        yield
    finally:
        for name, (number, _, default) in PARAMETERS.items():
            libc.mallopt(number, min(int(os.environ.get(name, default)), C_INT))  # a larger value would overflow


def _growth(step: Callable[[], Any], libc: ctypes.CDLL) -> int:
    step()  # allocates the workspace that a library retains per thread
    gc.collect()
    return round(statistics.median(_one_growth(step, libc) for _ in range(REPEATS)))


def _one_growth(step: Callable[[], Any], libc: ctypes.CDLL) -> int:
    libc.malloc_trim(0)
    CLEAR_REFS.write_text(RESET_PEAK)
    before = resident("VmRSS")
    step()
    return resident("VmHWM") - before


def resident(name: str) -> int:
    """Return a line of /proc/self/status in bytes: VmRSS is the current value, VmHWM the peak since the reset."""
    match = re.search(rf"^{name}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    if match is None:
        raise RuntimeError(f"{STATUS} has no line {name}")
    return int(match[1]) * 1024
