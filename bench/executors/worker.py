"""A worker process and the pipe to it."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import tempfile
import types
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.reduction import send_handle
from typing import Any

from bench.executors.rounds import Reply

# By default glibc returns large blocks to the system after each call. The page faults of the next call then take up to 13 times the
# duration of the operator itself.
TUNED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_TOP_PAD_": "67108864"}
DEFAULT = dict.fromkeys(TUNED)
ALLOCATORS: dict[str, dict[str, str | None]] = {"tuned": {**TUNED}, "default": {**DEFAULT}}
QUIET: dict[str, str | None] = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "KINETO_LOG_LEVEL": "99"}
START_SECONDS = 120.0
QUOTED = 300  # characters of the output of a dead worker that its record quotes
ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # a terminal control sequence, such as a colour


class WorkerDied(Exception):
    """The worker ended or was killed. Holds the status and the reason."""

    def __init__(self, status: str, detail: str):
        self.status, self.detail = status, detail


class Worker:
    """A process that answers requests.

    `start` is the start method of multiprocessing and `malloc` a key of `ALLOCATORS`. The server that forks the workers imports the
    modules of `preload` once. Raises `WorkerDied` if the process cannot start.
    """

    def __init__(
        self, plugins: tuple[str, ...] = (), start: str = "forkserver", malloc: str = "tuned", preload: tuple[str, ...] = ()
    ):
        context: Any = multiprocessing.get_context(start)
        self.crowded = False
        self.pipe, theirs = context.Pipe()
        self.output = tempfile.TemporaryFile()  # noqa: SIM115  # unnamed: no file remains if a process is killed
        self.process = context.Process(target=_serve, args=(theirs, plugins))  # a daemon could not start processes to read images
        with _environment(QUIET | ALLOCATORS[malloc]), _without_main_module():
            if start == "forkserver":
                context.set_forkserver_preload(["bench.executors.preload", *preload])
                forkserver.ensure_running()
            try:
                self.process.start()
            except OSError as error:  # too many processes or open files
                raise WorkerDied("crashed", f"no worker could start: {error}") from error
        weakref.finalize(self, self.process.kill)  # also at exit, when Python would wait for the process
        theirs.close()
        try:
            send_handle(self.pipe, self.output.fileno(), self.process.pid)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._death() from error
        self._receive(START_SECONDS)  # the time of a job begins when its worker is ready

    def ask(self, request: dict[str, Any], timeout: float) -> Any:
        """Send a request and wait for the result, blocked in poll. Raises `WorkerDied` if the worker ends or the time is over."""
        try:
            self.pipe.send(request)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._death() from error
        return self._receive(timeout)

    def _receive(self, timeout: float) -> Any:
        try:
            if not self.pipe.poll(timeout):
                self.stop()
                raise WorkerDied("timeout", "")
            reply: Reply = self.pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise self._death() from error
        self.crowded = reply.crowded
        if not reply.fit:
            self.stop()
        return reply.result

    def _death(self) -> WorkerDied:
        self.process.join(5)
        if self.alive:  # it closed the pipe and would run during the next measurement
            self.process.kill()
            self.process.join()
            return WorkerDied("crashed", "closed its pipe" + self._quoted_output())
        return WorkerDied("crashed", _describe_exit(self.process.exitcode) + self._quoted_output())

    @property
    def alive(self) -> bool:
        return self.process.is_alive()

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()
        self.output.close()

    def _quoted_output(self) -> str:
        """Return the end of the output since the last request."""
        file = self.output.fileno()
        start = max(os.fstat(file).st_size - 4 * QUOTED, 0)
        text = os.pread(file, 4 * QUOTED, start).decode(errors="replace")  # a seek would move the position of the worker too
        plain = "".join(letter if letter.isprintable() else " " for letter in ESCAPE.sub(" ", text))
        quoted = " ".join(plain.split())[-QUOTED:]
        return f"; it wrote: {quoted}" if quoted else ""


def _serve(pipe: Any, plugins: tuple[str, ...]) -> None:
    from bench.executors.child import serve  # imports torch, so only in the worker

    serve(pipe, plugins)


def _describe_exit(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"exited with code {exitcode}"


@contextmanager
def _environment(variables: dict[str, str | None]) -> Iterator[None]:
    """Set these environment variables within the context; None removes a variable."""
    before = {name: os.environ.get(name) for name in variables}
    _set(variables)
    try:
        yield
    finally:
        _set(before)


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Hide the main module within the context: a worker would run a script or notebook again that is not guarded by `__main__`."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _set(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
