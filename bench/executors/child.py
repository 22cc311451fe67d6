"""The inside of a worker process. The forkserver holds this module: it imports torch and the methods, and runs no operator."""

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
import torch._dynamo  # noqa: F401  # torch loads it at the first use of a meta tensor: a second in each worker, unless the server has it

from bench.executors.admission import free_bytes
from bench.executors.inline import advancing
from bench.executors.job import run
from bench.executors.rounds import Advance, Reply
from bench.spec import Job, Limits, Record
from bench.system import affinity as cores
from bench.system import environment as env
from methods.registry import load, load_file

load()


PR_SET_PDEATHSIG = 1
SPARE = 512 << 20  # bytes above its start that a waiting worker may keep: more would starve its neighbours


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, even if it hangs in foreign code. Linux only; elsewhere nothing."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def serve(pipe: Connection, plugins: tuple[str, ...]) -> None:
    """Answer requests until the pipe closes; what operators print goes to a file whose handle is the first thing sent."""
    die_with_parent()  # the server, which in turn dies with the sweep
    _redirect_output(recv_handle(pipe))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # the kernel's victim is the worker, not the parent
    for plugin in plugins:
        load_file(plugin)
    gc.freeze()  # what torch brought along is no garbage: a collection takes a millisecond instead of 200
    desk = WorkerState()
    pipe.send(Reply(None))  # ready
    with contextlib.suppress(EOFError):
        while True:
            request = pipe.recv()
            _clear_output()
            answer = desk.answers[request.pop("do")](**request)
            pipe.send(Reply(answer, desk.tidy_up(), desk.crowded))


class WorkerState:
    """What a worker is asked, and the jobs that it has begun."""

    def __init__(self) -> None:
        self.stories: dict[str, Advance] = {}
        self.start = _pages()
        self.device = "cpu"
        self.ended = self.crowded = False
        self.answers: dict[str, Callable[..., Any]] = {"advance": self.advance, "env": env.collect, "ceilings": _ceilings}

    def advance(self, job: dict[str, Any], limits: dict[str, Any], enough: bool, core: int | None) -> Record | bool:
        """Advance a job by one round, on a core if one is named: its record, or whether its figure is precise while it runs."""
        one, bounds = Job.from_json(job), Limits(**limits)
        key, self.device = one.key(), one.cell.device
        cores.bind(core)
        if key not in self.stories:
            if self.device == "cpu":
                _bound_memory(bounds.memory or free_bytes("cpu"))
            self.stories[key] = advancing(run(one, bounds))
        begun, before = time.perf_counter(), interruptions()
        answer = self.stories[key](enough)
        self.crowded = cores.crowded(interruptions() - before, time.perf_counter() - begun)
        self.ended = isinstance(answer, Record)
        if self.ended:
            del self.stories[key]
        return answer

    def tidy_up(self) -> bool:
        """Leave no memory of an ended job to the next, nor keep much while others measure; whether this process is fit for more."""
        fit = True
        if self.ended:
            gc.collect()
        if self.device != "cpu":
            fit = _tidy_device(self.device, self.ended)
        pages = _pages()
        if self.start and pages and pages[1] - self.start[1] > SPARE // resource.getpagesize():
            ctypes.CDLL(None).malloc_trim(0)
        return fit


def _ceilings(device: str, threads: int) -> dict[str, Any]:
    from bench.timers.peak_rates import measure

    return measure(device, threads)


def _tidy_device(device: str, ended: bool) -> bool:
    """Empty a GPU's caches after a job; False where it answers no more, as after a failed assertion in a kernel."""
    from bench.timers.cuda import cuda_healthy, cuda_reset

    healthy = cuda_healthy(device)
    if healthy and ended:
        cuda_reset(device)
    return healthy


def interruptions() -> int:
    """Involuntary context switches of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _pages() -> tuple[int, int] | None:
    """Pages of address space and of memory that this process holds; None where the system does not say."""
    path = Path("/proc/self/statm")
    if not path.exists():
        return None
    size, resident = path.read_text().split()[:2]
    return int(size), int(resident)


def _bound_memory(limit: int | None) -> None:
    """Let the address space grow by no more than `limit` bytes; what asks for more is refused rather than killed."""
    pages = _pages()
    if limit is not None and pages is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages[0] * resource.getpagesize() + limit, hard))


def _redirect_output(file: int) -> None:
    """Send standard output and error to a file, at the level of the process: foreign code writes there too."""
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def _clear_output() -> None:
    """Empty the file of what operators print: another job's words are no reason, and they may be many."""
    with contextlib.suppress(OSError):  # an operator may close its streams
        os.ftruncate(1, 0)
        os.lseek(1, 0, os.SEEK_SET)
