"""All jobs in this process: for tests and debugging. Nothing protects the sweep from a crash or a hang."""

from __future__ import annotations

from collections.abc import Generator, Iterable

from bench.executors.job import JobSteps, run
from bench.executors.rounds import Advance, groups, interleave
from bench.spec import Job, Limits, Record


def execute(jobs: Iterable[Job], limits: Limits) -> Generator[Record]:
    for group in groups(jobs):
        yield from interleave({job: advancing(run(job, limits)) for job in group})


def advancing(story: JobSteps) -> Advance:
    """The rounds of a job, one a call."""
    begun = False

    def advance(enough: bool) -> Record | bool:
        nonlocal begun
        try:
            if begun:
                return story.send(enough)
            begun = True
            return next(story)
        except StopIteration as end:
            return end.value

    return advance
