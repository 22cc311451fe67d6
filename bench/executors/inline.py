"""All jobs in this process: for tests and debugging. Nothing protects the sweep from a crash or a hang."""

from __future__ import annotations

from collections.abc import Generator, Iterable

from bench.executors import Advance, Limits, groups, interleave
from bench.spec import Job, Record
from bench.worker import run


def execute(jobs: Iterable[Job], limits: Limits) -> Generator[Record]:
    for group in groups(jobs):
        yield from interleave({job: _track(run(job)) for job in group})


def _track(story: Generator[None, None, Record]) -> Advance:
    def advance() -> Record | None:
        try:
            next(story)
        except StopIteration as end:
            return end.value
        return None

    return advance
