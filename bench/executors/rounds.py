"""Groups of jobs, and their interleaved rounds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from bench.spec import INTERLEAVED, Job, Record

# Told whether the group's figures are precise enough, a job advances by one round: its record, or whether its own figure is.
Advance = Callable[[bool], Record | bool]


class Reply(NamedTuple):
    """What a worker sends back: its answer, whether it is fit for more, and whether another program ran on its core."""

    answer: Any
    fit: bool = True
    crowded: bool = False


def groups(jobs: Iterable[Job]) -> list[list[Job]]:
    """Jobs to advance together, in order of first appearance: those that differ only in their method, or each alone."""
    found: dict[str, list[Job]] = {}
    for job in jobs:
        found.setdefault(job.group() if job.metric in INTERLEAVED else job.key(), []).append(job)
    return list(found.values())


def interleave(tracks: Mapping[Job, Advance]) -> Iterator[Record]:
    """Advance every job by one round, in a new shuffled order each time, until all have ended.

    They are told to end when all are precise, so that each pair of methods has the same rounds. The order depends on the jobs
    alone, so a sweep repeats it.
    """
    open_jobs = list(tracks)
    order = random.Random("".join(job.key() for job in open_jobs))
    enough = False
    while open_jobs:
        order.shuffle(open_jobs)
        precise: list[bool] = []
        for job in list(open_jobs):
            answer = tracks[job](enough)
            if isinstance(answer, Record):
                open_jobs.remove(job)
                yield answer
            else:
                precise.append(answer)
        enough = all(precise)
