"""Executors: jobs in, exactly one record a job out, in whatever order they end."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from bench.spec import INTERLEAVED, Job, Record

Advance = Callable[[], Record | None]


@dataclass(frozen=True)
class Limits:
    """What ends a job from outside; no part of its key."""

    timeout: float = 300.0  # seconds of a job's own time


def groups(jobs: Iterable[Job]) -> list[list[Job]]:
    """Jobs to advance together, in order of first appearance: those that differ only in their method, or each alone."""
    found: dict[str, list[Job]] = {}
    for job in jobs:
        found.setdefault(job.group() if job.metric in INTERLEAVED else job.key(), []).append(job)
    return list(found.values())


def interleave(tracks: Mapping[Job, Advance]) -> Iterator[Record]:
    """Advance every job by one round, in a new shuffled order each time, until all have ended.

    The order depends on the jobs alone, so a sweep repeats it.
    """
    open_jobs = list(tracks)
    order = random.Random("".join(job.key() for job in open_jobs))
    while open_jobs:
        order.shuffle(open_jobs)
        for job in list(open_jobs):
            record = tracks[job]()
            if record is not None:
                open_jobs.remove(job)
                yield record
