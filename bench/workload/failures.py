"""Convert an exception of an operator or a metric to the status and detail of a record."""

from __future__ import annotations

import traceback

import torch

from bench.workload.build import WrongResult
from methods import Unsupported

OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "DefaultCPUAllocator", "ALLOC_FAILED")


def diagnose(error: Exception) -> tuple[str, str]:
    """Return the status and a one-line detail of an exception."""
    text = " ".join(str(error).split())[:400]
    if isinstance(error, Unsupported):
        return "unsupported", text
    if isinstance(error, WrongResult):
        return "wrong_result", text
    memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    if memory or (isinstance(error, RuntimeError) and any(sign in text for sign in OUT_OF_MEMORY)):
        return "oom", text or type(error).__name__
    return "error", f"{type(error).__name__}{f': {text}' if text else ''}{_location(error)}"


def _location(error: Exception) -> str:
    """Return the innermost source line outside of libraries, or outside of torch if the exception has no text."""
    frames = traceback.extract_tb(error.__traceback__)
    libraries = "site-packages/" if str(error) else "site-packages/torch/"
    own = [frame for frame in frames if libraries not in frame.filename]
    return f" ({own[-1].filename.rsplit('/', 1)[-1]}:{own[-1].lineno})" if own else ""
