"""Select the core to measure on. Linux only; on other systems, or with a single core, the scheduler decides.

If the scheduler decides, single-threaded workers migrate between cores. Some cores share their execution units with a busy sibling,
so that the duration of the same call varies by 50%. On one fixed core all methods of a group have the same background load.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

STAT = Path("/proc/stat")
TOPOLOGY = Path("/sys/devices/system/cpu")
OBSERVE = 0.1  # seconds
ALLOWED = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()  # before this process binds itself to one core


def least_busy_core() -> int | None:
    """Return the allowed core with the most idle time during `OBSERVE` seconds, or None if there is no choice.

    Among several, the core whose siblings have the most idle time is preferred.
    """
    if not STAT.exists() or len(ALLOWED) < 2:
        return None
    before = idle_ticks(STAT.read_text())
    time.sleep(OBSERVE)
    after = idle_ticks(STAT.read_text())
    idle = {core: after[core] - before.get(core, 0) for core in after}
    return max(sorted(ALLOWED), key=lambda core: (idle.get(core, 0), sum(idle.get(sibling, 0) for sibling in siblings(core))))


def bind(core: int | None) -> None:
    """Bind this process to a core. None leaves it unbound."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def crowded(switches: int, seconds: float) -> bool:
    """Return whether the number of involuntary context switches shows another process on the core. A few switches are normal."""
    return switches > 2 + 20 * seconds


class CoreAssignment:
    """The core of a group. All methods of the group change the core together, so that they have the same background load."""

    def __init__(self, bound: bool):
        self.core = least_busy_core() if bound else None
        self.crowded = False

    def current(self) -> int | None:
        """Return the core for the next round. Selects a new core if another process ran on the last one."""
        if self.core is not None and self.crowded:
            self.core, self.crowded = least_busy_core(), False
        return self.core


def siblings(core: int) -> list[int]:
    """Return the hardware threads that share a physical core with this one, including itself."""
    path = TOPOLOGY / f"cpu{core}/topology/thread_siblings_list"
    ranges = path.read_text().strip().split(",") if path.exists() else [str(core)]
    ends = [[int(end) for end in text.split("-")] for text in ranges]
    return [core for end in ends for core in range(end[0], end[-1] + 1)]


def idle_ticks(stat: str) -> dict[int, int]:
    """Parse the text of /proc/stat. Returns {core: ticks of idle time and of waiting for a disk}."""
    lines = (line.split() for line in stat.splitlines() if line.startswith("cpu") and line[3].isdigit())
    return {int(name[3:]): int(times[3]) + int(times[4]) for name, *times in lines}
