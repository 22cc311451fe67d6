"""Which core to measure on. Linux only; elsewhere, and where there is but one core, the system decides.

Left to the system, single-threaded workers move between cores, some of which share their arithmetic with a busy neighbour: the same
call takes now one time, now half as much again. On one core all methods of a group meet the same neighbour.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

STAT = Path("/proc/stat")
TOPOLOGY = Path("/sys/devices/system/cpu")
LOOK = 0.1  # seconds
ALLOWED = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()  # before this process binds itself to one


def quietest() -> int | None:
    """The allowed core that idles most in a short look, of several the one with idle siblings; None where there is no choice."""
    if not STAT.exists() or len(ALLOWED) < 2:
        return None
    before = idle_ticks(STAT.read_text())
    time.sleep(LOOK)
    after = idle_ticks(STAT.read_text())
    idled = {core: after[core] - before.get(core, 0) for core in after}
    return max(sorted(ALLOWED), key=lambda core: (idled.get(core, 0), sum(idled.get(one, 0) for one in siblings(core))))


def bind(core: int | None) -> None:
    """Keep this process on a core; None leaves it where it is."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def crowded(switches: int, seconds: float) -> bool:
    """Whether another program runs on the core of a process that was interrupted that often: a stray interruption is none."""
    return switches > 2 + 20 * seconds


class CoreAssignment:
    """The core of a group. All its methods move together, so that each round of theirs meets the same neighbour."""

    def __init__(self, wanted: bool):
        self.core = quietest() if wanted else None
        self.disturbed = False

    def take(self) -> int | None:
        """The core for the next round, another one where the last was shared with another program."""
        if self.core is not None and self.disturbed:
            self.core, self.disturbed = quietest(), False
        return self.core


def siblings(core: int) -> list[int]:
    """The cores that share their arithmetic with this one, itself among them."""
    path = TOPOLOGY / f"cpu{core}/topology/thread_siblings_list"
    ranges = path.read_text().strip().split(",") if path.exists() else [str(core)]
    ends = [[int(end) for end in one.split("-")] for one in ranges]
    return [core for end in ends for core in range(end[0], end[-1] + 1)]


def idle_ticks(stat: str) -> dict[int, int]:
    """{core: ticks that it has idled or waited for a disk} from the text of /proc/stat."""
    lines = (line.split() for line in stat.splitlines() if line.startswith("cpu") and line[3].isdigit())
    return {int(name[3:]): int(times[3]) + int(times[4]) for name, *times in lines}
