"""The inside of a worker process. The forkserver holds this module: it imports torch and the methods, and runs no operator."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import signal
from collections.abc import Generator
from multiprocessing.connection import Connection
from pathlib import Path

import torch
import torch._dynamo  # torch loads it at the first use of a meta tensor: a second in each worker, unless the server has it

from bench import env
from bench.spec import Job, Record
from bench.worker import run
from methods.registry import load, load_file

load()


PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, even if it hangs in foreign code. Linux only; elsewhere nothing."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def serve(pipe: Connection, plugins: tuple[str, ...]) -> None:
    """Answer requests until the pipe closes: a job advances by one round and the reply is its record, or None while it runs."""
    die_with_parent()  # the server, which in turn dies with the sweep
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # the kernel's victim is the worker, not the parent
    for plugin in plugins:
        load_file(plugin)
    torch.backends.cudnn.allow_tf32 = False  # a convolution as exact as the transforms it is compared with
    torch.backends.cudnn.benchmark = True
    stories: dict[str, Generator[None, None, Record]] = {}
    with contextlib.suppress(EOFError):
        while True:
            request = pipe.recv()
            reply = env.collect() if request == "env" else _advance(stories, Job.from_json(request))
            pipe.send(reply)
            if reply is not None:
                _tidy_up()


def _advance(stories: dict[str, Generator[None, None, Record]], job: Job) -> Record | None:
    key = job.key()
    story = stories.setdefault(key, run(job))
    try:
        next(story)
    except StopIteration as end:
        del stories[key], story
        return end.value
    return None


def _tidy_up() -> None:
    """Leave no memory of one job to the next in this process."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
        torch.backends.cuda.cufft_plan_cache.clear()
