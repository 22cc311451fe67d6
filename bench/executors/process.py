"""Jobs in worker processes forked from a server that has imported torch: a crash, a hang or an exhausted memory costs one record.

On a CPU each method of a group has a worker of its own, all but one blocked in `recv`, so rounds are interleaved and isolated.
On a GPU one worker holds the device; a method that kills it is recorded, the others start again in workers of their own.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from typing import Any

from bench.executors import Limits, groups, interleave
from bench.spec import Job, Record

WORKER_ENVIRONMENT = {
    # glibc gives large blocks back after each call and the next call faults them in again: up to 13 times the operator's own time
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "67108864",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "KINETO_LOG_LEVEL": "99",
}
START_SECONDS = 120.0


class Died(Exception):
    """The worker ended or was killed: a status and a reason."""

    def __init__(self, status: str, detail: str):
        self.status, self.detail = status, detail


class Worker:
    """One process and the pipe to it."""

    def __init__(self, plugins: tuple[str, ...]):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["bench.executors.preload"])
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, plugins), daemon=True)
        with _environment(WORKER_ENVIRONMENT):
            forkserver.ensure_running()
            self.process.start()
        theirs.close()

    def ask(self, request: Any, timeout: float) -> Any:
        """Send a request and wait for its answer, blocked in poll; raises `Died`."""
        try:
            self.pipe.send(request)
            if not self.pipe.poll(timeout):
                self.stop()
                raise Died("timeout", "")
            return self.pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            self.process.join(5)
            raise Died("crashed", _ending(self.process.exitcode)) from error

    @property
    def alive(self) -> bool:
        return self.process.is_alive()

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class Pool:
    """The workers of a sweep: by label on a CPU, by device on a GPU."""

    def __init__(self, plugins: tuple[str, ...] = ()):
        self.plugins = plugins
        self.workers: dict[str, Worker] = {}

    def worker(self, name: str) -> Worker:
        if name not in self.workers or not self.workers[name].alive:
            self.workers[name] = Worker(self.plugins)
        return self.workers[name]

    def collect_env(self) -> dict[str, Any]:
        """The environment as a worker sees it, which then ends with its hold on a GPU; raises `Died` where none can start."""
        worker = Worker(self.plugins)
        try:
            return worker.ask("env", START_SECONDS)
        finally:
            worker.stop()

    def stop(self, keep: str = "cuda") -> None:
        """End the workers, except those whose name starts with `keep`."""
        for name in [name for name in self.workers if not (keep and name.startswith(keep))]:
            self.workers.pop(name).stop()

    def execute(self, jobs: Iterable[Job], limits: Limits) -> Generator[Record]:
        try:
            for group in groups(jobs):
                yield from interleave({job: Track(job, self, limits).advance for job in group})
                self.stop()
        finally:
            self.stop(keep="")


class Track:
    """One job in a worker: which one, and how much of its time is left."""

    def __init__(self, job: Job, pool: Pool, limits: Limits):
        self.job, self.pool, self.limit, self.left = job, pool, limits.timeout, limits.timeout
        self.name = job.cell.device if job.cell.device.startswith("cuda") else job.key()
        self.worker: Worker | None = None

    def advance(self) -> Record | None:
        if self.worker is not None and not self.worker.alive:  # a neighbour took the shared worker down: start again alone
            self.name = self.job.key()
        self.worker = self.pool.worker(self.name)
        started = time.time()
        try:
            record = self.worker.ask(self.job.to_json(), max(self.left, 0.1))
        except Died as death:
            detail = death.detail or f"no end after {self.limit:g} s"
            return Record(self.job, death.status, detail, started=started, seconds=time.time() - started)
        self.left -= time.time() - started
        if record is not None and self.name == self.job.key():
            self.pool.workers.pop(self.name).stop()
        return record


def _serve(pipe: Any, plugins: tuple[str, ...]) -> None:
    from bench.executors.child import serve  # imported in the worker only: it costs torch

    serve(pipe, plugins)


def _ending(exitcode: int | None) -> str:
    """How a process ended, in words."""
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"exited with code {exitcode}"


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
