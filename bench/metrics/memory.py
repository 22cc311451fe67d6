"""Memory of one call above what was held before it.

    mem_peak_bytes   the largest sum of blocks that torch's allocator has handed out during the call and not yet taken back: the
                     output, gradients, what autograd saves, and scratch that torch itself allocates. The input, the weights and for
                     inference the frozen kernel exist before the call and are not in it
    mem_input_ratio  the same over the bytes of the input
    mem_rss_bytes    growth of the process, library scratch included: see `bench.system.resident_memory`. CPU only
    mem_saved_bytes  what autograd holds between forward and backward: the storages, each once and whole, of all saved tensors. The
                     input is in it where it is saved; parameters and buffers, which exist anyway, are not. Training only

What the numbers do not mean: what a network needs. Of its operators' peaks only one counts at a time, their saved bytes add up.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.autograd.profiler import profile

from bench.spec import Protocol
from bench.system.resident_memory import rss_growth
from bench.workload.build import Measurement, Workload

Step = Callable[[], Any]


def measure(workload: Workload, protocol: Protocol) -> Generator[None, None, Measurement]:
    step = workload.checked_step()  # has run the call once: kernels are frozen, plans and workspaces exist
    device = torch.device(workload.cell.device)
    peak = cuda_peak(step, device) if device.type == "cuda" else cpu_peak(step)
    given = torch.empty(workload.shape(), device="meta").nbytes
    values: dict[str, float | str | None] = {
        "mem_peak_bytes": peak,
        "mem_input_ratio": peak / given,
        "mem_rss_bytes": rss_growth(step) if device.type == "cpu" else None,
        "mem_saved_bytes": saved_bytes(step, workload.module) if workload.cell.mode == "train" else None,
    }
    yield
    return Measurement(values)


def saved_bytes(step: Step, module: nn.Module) -> int:
    """Bytes of the distinct storages that autograd saves during `step`, the parameters and buffers of `module` excepted."""
    permanent = {tensor.untyped_storage().data_ptr() for tensor in (*module.parameters(), *module.buffers())}
    saved: dict[int, torch.UntypedStorage] = {}  # keeps them alive, or a later one may have the address of one that was freed

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage
        return tensor.detach()

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(storage.nbytes() for address, storage in saved.items() if address not in permanent)


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
