"""Peak memory of one call above what was held before it.

What the number means: the largest sum of blocks that torch's allocator has handed out during the call and not yet taken back: the
output, what autograd saves, and scratch that torch itself allocates. The input, the weights and for inference the frozen kernel
exist before the call and are not in it. What it does not mean: the size of the process. A library's own scratch (oneDNN, pocketfft,
MKL) and fragmentation come on top.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import torch
from torch import Tensor
from torch.autograd.profiler import profile

from bench.spec import Protocol
from bench.subject import Outcome, Subject

Step = Callable[[], Tensor]


def measure(subject: Subject, protocol: Protocol) -> Generator[None, None, Outcome]:
    step = subject.checked_step()  # has run the call once: kernels are frozen, plans and workspaces exist
    device = torch.device(subject.cell.device)
    peak = cuda_peak(step, device) if device.type == "cuda" else cpu_peak(step)
    yield
    given = torch.empty(subject.shape(), device="meta").nbytes
    return Outcome({"mem_peak_bytes": peak, "mem_input_ratio": peak / given}, {})


def cpu_peak(step: Step) -> int:
    """Largest running sum over the profiler's stream of allocations and frees; raises RuntimeError where it saw none."""
    # torch.profiler.profile records the same and first imports the compiler: seconds in every new process
    with profile(use_kineto=True, profile_memory=True) as profiler:
        step()
    events = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    if not events:
        raise RuntimeError("the profiler saw no allocation in the call")
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def cuda_peak(step: Step, device: torch.device) -> int:
    """The caching allocator's own peak; the cache is emptied first, or an old block may count as larger than it need be."""
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
