"""Run jobs in worker processes, forked from a server with torch imported. A crash, hang or exhausted memory affects one job.

On a CPU each method of a group has its own worker, and all but one are blocked in `recv`, so rounds are interleaved and isolated.
On a GPU one worker holds the device. If a method kills it, the failure is recorded and the other jobs restart in their own workers.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from typing import Any

from bench.columns import METRICS
from bench.executors.rounds import groups, interleave
from bench.executors.worker import START_SECONDS, Worker, WorkerDied
from bench.spec import Job, Limits, Record, Training
from bench.system.affinity import CoreAssignment


class Pool:
    """The workers of a sweep, by job on a CPU and by device on a GPU."""

    def __init__(
        self, plugins: tuple[str, ...] = (), start: str = "forkserver", malloc: str = "tuned", preload: tuple[str, ...] = ()
    ):
        self.settings = (plugins, start, malloc, preload)
        self.workers: dict[str, Worker] = {}
        self.starting = threading.Lock()  # starting a worker changes the environment of this process temporarily
        self.closed = False  # set when the caller has stopped: threads must not start more workers

    def worker(self, name: str) -> Worker:
        """Return the worker of this name and start it if it is not alive.

        Raises `WorkerDied` if it cannot start or the pool is closed.
        """
        worker = self.workers.get(name)
        if worker is not None and worker.alive:
            return worker
        self.stop_worker(name)
        with self.starting:
            if not self.closed:
                worker = self.workers[name] = Worker(*self.settings)
        if worker is None or self.closed:  # closed while the worker was starting: `stop` did not see it
            self.stop_worker(name)
            raise WorkerDied("crashed", "interrupted")
        return worker

    def stop_worker(self, name: str) -> None:
        worker = self.workers.pop(name, None)
        if worker is not None:
            worker.stop()

    def ask(self, **request: Any) -> Any:
        """Return the answer of a dedicated worker, which then ends and releases the GPU. Raises `WorkerDied` if it fails."""
        worker = Worker(*self.settings)
        try:
            return worker.ask(request, START_SECONDS)
        finally:
            worker.stop()

    def collect_env(self) -> dict[str, Any]:
        """Return the environment as seen by a worker."""
        return self.ask(do="env")

    def stop(self, keep: str = "cuda") -> None:
        """Stop the workers, except those whose name starts with `keep`. An empty string stops all."""
        for name in [name for name in list(self.workers) if not (keep and name.startswith(keep))]:
            self.stop_worker(name)

    def execute(self, jobs: Iterable[Job], limits: Limits) -> Generator[Record]:
        """Yield the record of each job when it ends. The workers are stopped at the end."""
        self.closed = False
        try:
            for parallel, run in itertools.groupby(groups(jobs), lambda group: limits.at_once > 1 and is_training(group[0])):
                if parallel:
                    calls = [RunningJob(job, self, limits, CoreAssignment(False)).run_to_end for group in run for job in group]
                    yield from run_in_parallel(calls, limits.at_once)
                    continue
                for group in run:
                    core = CoreAssignment(any(is_single_threaded(job) for job in group))
                    yield from interleave({job: RunningJob(job, self, limits, core).advance for job in group})
                    self.stop()
        finally:
            self.closed = True  # before `stop`: a thread checks it after it has registered a worker
            self.stop(keep="")


def is_training(job: Job) -> bool:
    """Return whether a job trains on a CPU for a fixed number of epochs, so that its accuracy does not depend on background load.

    The number of epochs within a time budget does depend on it.
    """
    return isinstance(job.protocol, Training) and job.protocol.seconds is None and job.cell.device == "cpu"


def run_in_parallel(calls: Iterable[Callable[[], Record]], count: int) -> Iterator[Record]:
    """Yield the results of these calls as they finish, `count` at a time. If the caller stops, pending calls are cancelled."""
    pool = ThreadPoolExecutor(count)
    try:
        yield from (future.result() for future in as_completed([pool.submit(call) for call in calls]))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def is_single_threaded(job: Job) -> bool:
    """Return whether a job measures a single thread of a CPU."""
    return METRICS[job.metric].interleaved and job.cell.device == "cpu" and job.cell.threads == 1


class RunningJob:
    """A job in a worker, with the time that remains until its timeout."""

    def __init__(self, job: Job, pool: Pool, limits: Limits, core: CoreAssignment):
        self.job, self.pool, self.limits, self.left, self.core = job, pool, limits, limits.timeout, core
        self.name = job.cell.device if job.cell.device.startswith("cuda") else job.key()
        self.worker: Worker | None = None

    def advance(self, all_precise: bool) -> Record | bool:
        """Advance by one round. Returns the record if the job has ended, else whether its measurement is precise enough."""
        dedicated = self.name == self.job.key()
        if self.worker is not None and not self.worker.alive and not dedicated:  # the shared worker died: retry in a dedicated one
            self.name, self.worker = self.job.key(), None
        started = time.time()
        request = {"do": "advance", "job": self.job.to_json(), "limits": asdict(self.limits), "all_precise": all_precise}
        try:
            self.worker = self.worker or self.pool.worker(self.name)
            core = self.core.current()
            started = time.time()
            result = self.worker.ask({**request, "core": core}, max(self.left, 0.1))
        except WorkerDied as death:
            self.release()
            detail = death.detail or f"not finished after {self.limits.timeout:g} s"
            return Record(self.job, death.status, detail, started=started, seconds=time.time() - started)
        if self.job.metric != "accuracy":  # a training yields every few seconds: its timeout is per yield
            self.left -= time.time() - started
        self.core.crowded |= self.worker.crowded
        if isinstance(result, Record):
            self.release()
        return result

    def release(self) -> None:
        """Drop the reference to the worker, so that its files are closed. A dedicated worker is stopped."""
        self.worker = None
        if self.name == self.job.key():
            self.pool.stop_worker(self.name)

    def run_to_end(self) -> Record:
        while not isinstance(result := self.advance(False), Record):
            pass
        return result
