"""The story of one job: build the operator, look at its output, measure, and end as exactly one record."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Generator

import torch

from bench import metrics
from bench.spec import Job, Record
from bench.subject import Outcome, Subject, WrongResult
from methods import Unsupported

OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "DefaultCPUAllocator")


def run(job: Job) -> Generator[None, None, Record]:
    """Yield after each round of the metric; return the record. No exception of an operator or a metric leaves this function."""
    torch.set_num_threads(job.cell.threads)
    started, seconds = time.time(), 0.0
    measuring = metrics.get(job.metric)(Subject(job.cell), job.protocol)
    while True:
        begin = time.perf_counter()
        try:
            next(measuring)
        except StopIteration as end:
            seconds += time.perf_counter() - begin
            return _ok(job, end.value, started, seconds)
        except Exception as error:  # whatever an operator raises becomes the row's status
            status, detail = diagnose(error)
            return Record(job, status, detail, started=started, seconds=seconds + time.perf_counter() - begin)
        seconds += time.perf_counter() - begin
        yield


def _ok(job: Job, outcome: Outcome, started: float, seconds: float) -> Record:
    values = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in outcome.values.items()
    }
    return Record(job, "ok", "", values, outcome.samples, started=started, seconds=seconds)


def diagnose(error: Exception) -> tuple[str, str]:
    """Status and one line of detail of an exception."""
    text = " ".join(str(error).split())[:400]
    if isinstance(error, Unsupported):
        return "unsupported", text
    if isinstance(error, WrongResult):
        return "wrong_result", text
    memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    if memory or (isinstance(error, RuntimeError) and any(sign in text for sign in OUT_OF_MEMORY)):
        return "oom", text or type(error).__name__
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return "error", f"{type(error).__name__}: {text} ({frame.filename.rsplit('/', 1)[-1]}:{frame.lineno})"
