"""Accuracy jobs in the processes that torchrun started. All processes train the same network; rank 0 yields the records.

Each job has its own process group. If a process fails, the others wait for it until `--timeout`. With gloo they then fail, the
record describes the first failure, and the next job begins in a new group. NCCL ends the process, and torchrun ends the sweep.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from bench.executors.job import run
from bench.spec import Job, Limits, Record
from methods import load_file

PLANNING = timedelta(hours=1)  # rank 0 plans the sweep, and may download data, while the others wait


def execute(jobs: Iterable[Job], limits: Limits) -> Generator[Record]:
    """Run the jobs in rank 0 and yield their records. The other ranks receive the jobs in `follow`."""
    group = ProcessGroup(limits)
    planned = list(jobs)
    group.store.set("plan", json.dumps({"jobs": [job.to_json() for job in planned], "limits": asdict(limits)}))
    for number, job in enumerate(planned):
        yield group.run(number, job)


def follow(plugins: Iterable[str | Path]) -> None:
    """Run the jobs of rank 0 in the other ranks."""
    for plugin in plugins:
        load_file(plugin)
    group = ProcessGroup(Limits())
    plan = json.loads(group.store.get("plan"))
    group.limits = Limits(**plan["limits"])
    for number, job in enumerate(plan["jobs"]):
        group.run(number, Job.from_json(job))


class ProcessGroup:
    """The processes of torchrun and the store through which they rendezvous."""

    def __init__(self, limits: Limits):
        self.store, self.rank, self.world = next(iter(rendezvous("env://", timeout=PLANNING)))
        self.limits = limits

    def run(self, number: int, job: Job) -> Record:
        """Run a job in all processes. Each returns a record; that of rank 0 is used."""
        store = PrefixStore(str(number), self.store)
        wait = timedelta(seconds=self.limits.timeout)
        backend = "nccl" if torch.device(job.cell.device).type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.world, timeout=wait)
        record = run_to_end(job, self.limits)
        if record.status != "ok" and store.add("failures", 1) == 1:
            store.set("cause", json.dumps([self.rank, record.status, record.detail]))
        store.set(f"ended {self.rank}", "")
        store.wait(
            [f"ended {rank}" for rank in range(self.world)], 2 * wait
        )  # leaving early would close the store under the other ranks
        dist.destroy_process_group()
        return record if record.status == "ok" else self._with_cause(record, *json.loads(store.get("cause")))

    def _with_cause(self, record: Record, rank: int, status: str, detail: str) -> Record:
        """Return the record of a failure with the status and detail of the process that failed first."""
        if rank == self.rank or detail == record.detail:
            return record
        return replace(record, status=status, detail=f"process {rank}: {detail}")


def run_to_end(job: Job, limits: Limits) -> Record:
    """Run a job to its end and return its record."""
    steps = run(job, limits)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            record: Record = end.value
            return record
