"""Jobs in worker processes forked from a server that has imported torch: a crash, a hang or an exhausted memory costs one record.

On a CPU each method of a group has a worker of its own, all but one blocked in `recv`, so rounds are interleaved and isolated.
On a GPU one worker holds the device; a method that kills it is recorded, the others start again in workers of their own.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from typing import Any

from bench.executors.rounds import groups, interleave
from bench.executors.worker import START_SECONDS, Worker, WorkerDied
from bench.spec import INTERLEAVED, Job, Limits, Record, Training
from bench.system.affinity import CoreAssignment


class Pool:
    """The workers of a sweep: by label on a CPU, by device on a GPU."""

    def __init__(
        self, plugins: tuple[str, ...] = (), start: str = "forkserver", malloc: str = "tuned", preload: tuple[str, ...] = ()
    ):
        self.settings = (plugins, start, malloc, preload)
        self.workers: dict[str, Worker] = {}
        self.starting = threading.Lock()  # a start borrows the environment of the process
        self.closed = False  # the caller has stopped: what threads still begin must end

    def worker(self, name: str) -> Worker:
        """The worker of this name, started where none is alive; raises `WorkerDied` where none can start or the pool is closed."""
        worker = self.workers.get(name)
        if worker is not None and worker.alive:
            return worker
        self.stop_worker(name)
        with self.starting:
            if not self.closed:
                worker = self.workers[name] = Worker(*self.settings)
        if worker is None or self.closed:  # perhaps while it started, unseen by `stop`
            self.stop_worker(name)
            raise WorkerDied("crashed", "interrupted")
        return worker

    def stop_worker(self, name: str) -> None:
        worker = self.workers.pop(name, None)
        if worker is not None:
            worker.stop()

    def ask(self, **request: Any) -> Any:
        """The answer of a worker of its own, which then ends with its hold on a GPU; raises `WorkerDied` where none can start."""
        worker = Worker(*self.settings)
        try:
            return worker.ask(request, START_SECONDS)
        finally:
            worker.stop()

    def collect_env(self) -> dict[str, Any]:
        """The environment as a worker sees it."""
        return self.ask(do="env")

    def stop(self, keep: str = "cuda") -> None:
        """End the workers, except those whose name starts with `keep`."""
        for name in [name for name in list(self.workers) if not (keep and name.startswith(keep))]:
            self.stop_worker(name)

    def execute(self, jobs: Iterable[Job], limits: Limits) -> Generator[Record]:
        self.closed = False
        try:
            for together, same in itertools.groupby(groups(jobs), lambda group: limits.at_once > 1 and is_training(group[0])):
                if together:
                    tracks = [RunningJob(job, self, limits, CoreAssignment(False)).to_end for group in same for job in group]
                    yield from side_by_side(tracks, limits.at_once)
                    continue
                for group in same:
                    seat = CoreAssignment(any(is_single_threaded(job) for job in group))
                    yield from interleave({job: RunningJob(job, self, limits, seat).advance for job in group})
                    self.stop()
        finally:
            self.closed = True  # before the stop: a thread that registers its worker looks at it afterwards
            self.stop(keep="")


def is_training(job: Job) -> bool:
    """Whether a job is a training on a CPU for a number of epochs, which gives the same accuracy whatever runs beside it.

    How many epochs fit in a budget of seconds depends on the neighbours.
    """
    return isinstance(job.protocol, Training) and job.protocol.seconds is None and job.cell.device == "cpu"


def side_by_side(calls: Iterable[Callable[[], Record]], count: int) -> Iterator[Record]:
    """The results of these calls as they end, `count` of them at a time; what is open is dropped where the caller stops."""
    pool = ThreadPoolExecutor(count)
    try:
        yield from (future.result() for future in as_completed([pool.submit(call) for call in calls]))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def is_single_threaded(job: Job) -> bool:
    """Whether a job is timed by a single thread of a CPU."""
    return job.metric in INTERLEAVED and job.cell.device == "cpu" and job.cell.threads == 1


class RunningJob:
    """One job in a worker: which one, and how much of its time is left."""

    def __init__(self, job: Job, pool: Pool, limits: Limits, seat: CoreAssignment):
        self.job, self.pool, self.limits, self.left, self.seat = job, pool, limits, limits.timeout, seat
        self.name = job.cell.device if job.cell.device.startswith("cuda") else job.key()
        self.worker: Worker | None = None

    def advance(self, enough: bool) -> Record | bool:
        alone = self.name == self.job.key()
        if self.worker is not None and not self.worker.alive and not alone:  # a neighbour took the shared one down: again, alone
            self.name, self.worker = self.job.key(), None
        started = time.time()
        request = {"do": "advance", "job": self.job.to_json(), "limits": asdict(self.limits), "enough": enough}
        try:
            self.worker = self.worker or self.pool.worker(self.name)
            core = self.seat.take()
            started = time.time()
            answer = self.worker.ask({**request, "core": core}, max(self.left, 0.1))
        except WorkerDied as death:
            self.release()
            detail = death.detail or f"no end after {self.limits.timeout:g} s"
            return Record(self.job, death.status, detail, started=started, seconds=time.time() - started)
        if self.job.metric != "accuracy":  # a training takes its time, but gives sign of life every few seconds
            self.left -= time.time() - started
        self.seat.disturbed |= self.worker.crowded
        if isinstance(answer, Record):
            self.release()
        return answer

    def release(self) -> None:
        """Let go of the worker, whose files close with it; one of the job's own ends."""
        self.worker = None
        if self.name == self.job.key():
            self.pool.stop_worker(self.name)

    def to_end(self) -> Record:
        while not isinstance(answer := self.advance(False), Record):
            pass
        return answer
