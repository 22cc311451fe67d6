"""Jobs of accuracy in the processes that torchrun started, all of them at the same job; the first gives the records.

Each job has a process group of its own. Where a process fails, the others wait for it in vain until the job's `--timeout`. With
gloo they fail then, the record says what happened where it happened first, and the next job begins in a new group; NCCL ends the
process, and torchrun the sweep.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from dataclasses import asdict, replace
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from bench.executors.job import run
from bench.spec import Job, Limits, Record

PLANNING = timedelta(hours=1)  # the first process plans, and may fetch data, while the others wait


def execute(jobs: Iterable[Job], limits: Limits) -> Generator[Record]:
    """In the first process: tell the others what is to be done, and do it with them."""
    crew = ProcessGroup(limits)
    todo = list(jobs)
    crew.store.set("plan", json.dumps({"jobs": [job.to_json() for job in todo], "limits": asdict(limits)}))
    for number, job in enumerate(todo):
        yield crew.run(number, job)


def follow() -> None:
    """In the other processes: do what the first one does, until there is no more."""
    crew = ProcessGroup(Limits())
    plan = json.loads(crew.store.get("plan"))
    crew.limits = Limits(**plan["limits"])
    for number, job in enumerate(plan["jobs"]):
        crew.run(number, Job.from_json(job))


class ProcessGroup:
    """The processes, and the store through which they find each other."""

    def __init__(self, limits: Limits):
        self.store, self.rank, self.world = next(iter(rendezvous("env://", timeout=PLANNING)))
        self.limits = limits

    def run(self, number: int, job: Job) -> Record:
        """The job, together; a record in each process, of which the first one's counts."""
        store = PrefixStore(str(number), self.store)
        wait = timedelta(seconds=self.limits.timeout)
        backend = "nccl" if torch.device(job.cell.device).type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.world, timeout=wait)
        record = run_to_end(job, self.limits)
        if record.status != "ok" and store.add("failures", 1) == 1:
            store.set("cause", json.dumps([self.rank, record.status, record.detail]))
        store.set(f"ended {self.rank}", "")
        store.wait([f"ended {rank}" for rank in range(self.world)], 2 * wait)  # who leaves early breaks off what others still read
        dist.destroy_process_group()
        return record if record.status == "ok" else self._explained(record, *json.loads(store.get("cause")))

    def _explained(self, record: Record, rank: int, status: str, detail: str) -> Record:
        """A failure as that process saw it which failed first."""
        if rank == self.rank or detail == record.detail:
            return record
        return replace(record, status=status, detail=f"process {rank}: {detail}")


def run_to_end(job: Job, limits: Limits) -> Record:
    """The record of a job, run to its end without a pause."""
    story = run(job, limits)
    while True:
        try:
            next(story)
        except StopIteration as end:
            record: Record = end.value
            return record
