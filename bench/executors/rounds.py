"""Groups of jobs, and the interleaving of their rounds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from bench.columns import METRICS
from bench.spec import Job, Record

# Advances a job by one round. The argument is whether all measurements of the group are precise enough. Returns the record if the
# job has ended, else whether its own measurement is.
Advance = Callable[[bool], Record | bool]


class Reply(NamedTuple):
    """The reply of a worker: the result, whether the worker can run more jobs, and whether another process ran on its core."""

    result: Any
    fit: bool = True
    crowded: bool = False


def groups(jobs: Iterable[Job]) -> list[list[Job]]:
    """Group the jobs that differ only in their method, in order of first appearance. Other metrics have one job per group."""
    members: dict[str, list[Job]] = {}
    for job in jobs:
        members.setdefault(job.group() if METRICS[job.metric].interleaved else job.key(), []).append(job)
    return list(members.values())


def interleave(running: Mapping[Job, Advance]) -> Iterator[Record]:
    """Advance every job by one round, in a new random order each time, until all have ended.

    The jobs end when all measurements are precise enough, so that each pair of methods has the same rounds. The order depends only
    on the jobs, so it is reproducible.
    """
    open_jobs = list(running)
    order = random.Random("".join(job.key() for job in open_jobs))
    all_precise = False
    while open_jobs:
        order.shuffle(open_jobs)
        precise: list[bool] = []
        for job in list(open_jobs):
            result = running[job](all_precise)
            if isinstance(result, Record):
                open_jobs.remove(job)
                yield result
            else:
                precise.append(result)
        all_precise = all(precise)
