"""The worker process. The forkserver imports this module, which loads torch and the methods and runs no operator."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # noqa: F401  # preloaded in the server: the first meta tensor imports it, 1 s per worker

from bench.executors.admission import free_bytes
from bench.executors.inline import advancing
from bench.executors.job import run
from bench.executors.rounds import Advance, Reply
from bench.spec import Job, Limits, Record
from bench.system import affinity, environment
from methods.registry import load, load_file

load()


PR_SET_PDEATHSIG = 1
SPARE = 512 << 20  # bytes that a waiting worker may retain beyond its initial size, so that the other workers have memory


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends, even if it hangs in native code. Does nothing except on Linux."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def serve(pipe: Connection, plugins: tuple[str, ...]) -> None:
    """Answer requests until the pipe closes.

    The first message is a file handle. Standard output and error of the operators go to that file.
    """
    die_with_parent()  # the parent is the server, which in turn dies with the sweep
    _redirect_output(recv_handle(pipe))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # out of memory, the kernel kills the worker and not the parent
    for plugin in plugins:
        load_file(plugin)
    gc.freeze()  # exclude torch's objects: a collection takes 1 ms instead of 200 ms
    state = WorkerState()
    pipe.send(Reply(None))  # ready
    with contextlib.suppress(EOFError):
        while True:
            request = pipe.recv()
            _clear_output()
            result = state.handlers[request.pop("do")](**request)
            pipe.send(Reply(result, state.release_memory(), state.crowded))


class WorkerState:
    """The request handlers of a worker and its running jobs."""

    def __init__(self) -> None:
        self.jobs: dict[str, Advance] = {}
        self.start = _pages()
        self.device = "cpu"
        self.ended = self.crowded = False
        self.handlers: dict[str, Callable[..., Any]] = {"advance": self.advance, "env": environment.collect, "ceilings": _ceilings}

    def advance(self, job: dict[str, Any], limits: dict[str, Any], all_precise: bool, core: int | None) -> Record | bool:
        """Advance a job by one round, on `core` unless it is None.

        Returns the record if the job has ended, else whether its measurement is precise enough.
        """
        parsed, bounds = Job.from_json(job), Limits(**limits)
        key, self.device = parsed.key(), parsed.cell.device
        affinity.bind(core)
        if key not in self.jobs:
            if self.device == "cpu":
                _limit_address_space(bounds.memory or free_bytes("cpu"))
            self.jobs[key] = advancing(run(parsed, bounds))
        begin, before = time.perf_counter(), involuntary_switches()
        result = self.jobs[key](all_precise)
        self.crowded = affinity.crowded(involuntary_switches() - before, time.perf_counter() - begin)
        self.ended = isinstance(result, Record)
        if self.ended:
            del self.jobs[key]
        return result

    def release_memory(self) -> bool:
        """Release the memory of an ended job and unused heap pages. Return False if this process must not run another job."""
        fit = True
        if self.ended:
            gc.collect()
        if self.device != "cpu":
            fit = _reset_device(self.device, self.ended)
        pages = _pages()
        if self.start and pages and pages[1] - self.start[1] > SPARE // resource.getpagesize():
            ctypes.CDLL(None).malloc_trim(0)
        return fit


def _ceilings(device: str, threads: int) -> dict[str, Any]:
    from bench.timers.peak_rates import measure

    return measure(device, threads)


def _reset_device(device: str, ended: bool) -> bool:
    """Empty the caches of a GPU after a job. Return False if it fails, for example after a failed assertion in a kernel."""
    from bench.timers.cuda import cuda_healthy, cuda_reset

    healthy = cuda_healthy(device)
    if healthy and ended:
        cuda_reset(device)
    return healthy


def involuntary_switches() -> int:
    """Return the number of involuntary context switches of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _pages() -> tuple[int, int] | None:
    """Return the virtual and the resident size of this process in pages, or None if the system does not report them."""
    path = Path("/proc/self/statm")
    if not path.exists():
        return None
    size, resident = path.read_text().split()[:2]
    return int(size), int(resident)


def _limit_address_space(limit: int | None) -> None:
    """Limit the growth of the address space to `limit` bytes: larger allocations fail instead of ending the process."""
    pages = _pages()
    if limit is not None and pages is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages[0] * resource.getpagesize() + limit, hard))


def _redirect_output(file: int) -> None:
    """Redirect standard output and error to a file at the level of the process, so that native code is included."""
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def _clear_output() -> None:
    """Truncate the captured output of the previous job, which would not explain a failure of the next one."""
    with contextlib.suppress(OSError):  # an operator may close its streams
        os.ftruncate(1, 0)
        os.lseek(1, 0, os.SEEK_SET)
