"""One worker process and the pipe to it."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.reduction import send_handle
from typing import Any

from bench.executors.rounds import Reply

# glibc gives large blocks back after each call and the next call faults them in again: up to 13 times the operator's own time
TUNED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_TOP_PAD_": "67108864"}
DEFAULT = dict.fromkeys(TUNED)
ALLOCATORS: dict[str, dict[str, str | None]] = {"tuned": {**TUNED}, "default": {**DEFAULT}}
QUIET: dict[str, str | None] = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "KINETO_LOG_LEVEL": "99"}
START_SECONDS = 120.0
LAST_WORDS = 300  # characters of what a dead worker wrote that its record quotes
ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # a terminal's control sequence: a colour


class WorkerDied(Exception):
    """The worker ended or was killed: a status and a reason."""

    def __init__(self, status: str, detail: str):
        self.status, self.detail = status, detail


class Worker:
    """A process that answers requests, started by `start`, with the allocator `malloc`; raises `WorkerDied` where it cannot start.

    The server that forks workers imports the modules of `preload` once for all.
    """

    def __init__(
        self, plugins: tuple[str, ...] = (), start: str = "forkserver", malloc: str = "tuned", preload: tuple[str, ...] = ()
    ):
        context: Any = multiprocessing.get_context(start)
        self.crowded = False
        self.pipe, theirs = context.Pipe()
        self.words = tempfile.TemporaryFile()  # noqa: SIM115  # without a name: nothing is left behind, whoever is killed
        self.process = context.Process(
            target=_serve, args=(theirs, plugins)
        )  # no daemon, for those may not read images by processes
        with _environment(QUIET | ALLOCATORS[malloc]):
            if start == "forkserver":
                context.set_forkserver_preload(["bench.executors.preload", *preload])
                forkserver.ensure_running()
            try:
                self.process.start()
            except OSError as error:  # no process or no file left to have
                raise WorkerDied("crashed", f"no worker could start: {error}") from error
        weakref.finalize(self, self.process.kill)  # also at exit, where Python would wait for it
        theirs.close()
        try:
            send_handle(self.pipe, self.words.fileno(), self.process.pid)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._death() from error
        self._answer(START_SECONDS)  # a job's time begins when its worker stands ready

    def ask(self, request: dict[str, Any], timeout: float) -> Any:
        """Send a request and wait for its answer, blocked in poll; raises `WorkerDied`."""
        try:
            self.pipe.send(request)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._death() from error
        return self._answer(timeout)

    def _answer(self, timeout: float) -> Any:
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
        return reply.answer

    def _death(self) -> WorkerDied:
        self.process.join(5)
        if self.alive:  # it closed the pipe and lives on, beside what is measured next
            self.process.kill()
            self.process.join()
            return WorkerDied("crashed", "closed its pipe" + self._last_words())
        return WorkerDied("crashed", _ending(self.process.exitcode) + self._last_words())

    @property
    def alive(self) -> bool:
        return self.process.is_alive()

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()
        self.words.close()

    def _last_words(self) -> str:
        """The end of what the process printed since it was last asked."""
        file = self.words.fileno()
        start = max(os.fstat(file).st_size - 4 * LAST_WORDS, 0)
        text = os.pread(file, 4 * LAST_WORDS, start).decode(errors="replace")  # a seek would move the worker's place too
        plain = "".join(letter if letter.isprintable() else " " for letter in ESCAPE.sub(" ", text))
        said = " ".join(plain.split())[-LAST_WORDS:]
        return f"; it wrote: {said}" if said else ""


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
def _environment(variables: dict[str, str | None]) -> Iterator[None]:
    """The process's environment with these variables, those of None taken out, for a while."""
    before = {name: os.environ.get(name) for name in variables}
    _set(variables)
    try:
        yield
    finally:
        _set(before)


def _set(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
