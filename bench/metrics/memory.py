"""Memory of one call in addition to the memory allocated before it.

    mem_peak_bytes   peak of the blocks that torch's allocator has allocated during the call and not yet freed: the output,
                     gradients, tensors saved by autograd, and workspace that torch itself allocates. Excludes the input, the
                     weights and in inference the frozen kernel, which exist before the call
    mem_input_ratio  mem_peak_bytes divided by the bytes of the input
    mem_rss_bytes    growth of the process, including the workspace of libraries: see `bench.system.resident_memory`. CPU only
    mem_saved_bytes  bytes that autograd saves between forward and backward: the whole storages of all saved tensors, each once. The
                     input is included if it is saved; parameters and buffers are not. Training only

The values do not give the memory of a network: the peaks of its operators occur one at a time, while their saved bytes add up.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.autograd.profiler import profile

from bench.columns import Column, Metric
from bench.spec import Protocol
from bench.system.resident_memory import rss_growth
from bench.workload.build import Measurement, Workload

METRIC = Metric(
    columns=(
        Column(
            "mem_peak_bytes",
            unit="B",
            better="lower",
            heading="memory, MB",
            meaning="peak allocated memory above the memory allocated before the call",
        ),
        Column("mem_input_ratio", better="lower", meaning="mem_peak_bytes over the size of the input"),
        Column(
            "mem_rss_bytes",
            unit="B",
            better="lower",
            meaning="resident set growth during the call, with library workspace (CPU, Linux)",
        ),
        Column(
            "mem_saved_bytes", unit="B", better="lower", meaning="distinct storages saved from forward to backward, without weights"
        ),
    ),
    calls=9,  # one validated, one profiled, one for autograd, six for the process
    typical_seconds=1.0,
    depends_on=("kernels",),
)

Step = Callable[[], Any]


def measure(workload: Workload, protocol: Protocol) -> Generator[None, None, Measurement]:
    """Measure the memory of one call. Raises `WrongResult` if its output is invalid."""
    step = workload.checked_step()  # the call has run once: kernels are cached, plans and workspaces exist
    device = torch.device(workload.cell.device)
    peak = cuda_peak(step, device) if device.type == "cuda" else cpu_peak(step)
    input_bytes = torch.empty(workload.shape(), device="meta").nbytes
    values: dict[str, float | str | None] = {
        "mem_peak_bytes": peak,
        "mem_input_ratio": peak / input_bytes,
        "mem_rss_bytes": rss_growth(step) if device.type == "cpu" else None,
        "mem_saved_bytes": saved_bytes(step, workload.module) if workload.cell.mode == "train" else None,
    }
    yield
    return Measurement(values)


def saved_bytes(step: Step, module: nn.Module) -> int:
    """Return the bytes of the distinct storages that autograd saves during `step`, except those of parameters and buffers."""
    permanent = {tensor.untyped_storage().data_ptr() for tensor in (*module.parameters(), *module.buffers())}
    saved: dict[int, torch.UntypedStorage] = {}  # kept alive, because a later storage could reuse the address of a freed one

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage
        return tensor.detach()

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(storage.nbytes() for address, storage in saved.items() if address not in permanent)


def cpu_peak(step: Step) -> int:
    """Return the peak of the profiler's allocations minus frees. Raises RuntimeError if the profiler recorded none."""
    # torch.profiler.profile records the same events but imports the compiler: seconds in every new process
    with profile(use_kineto=True, profile_memory=True) as profiler:
        step()
    events = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    if not events:
        raise RuntimeError("the profiler recorded no allocation in the call")
    allocated = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        allocated += event.nbytes()
        peak = max(peak, allocated)
    return peak


def cuda_peak(step: Step, device: torch.device) -> int:
    """Return the peak of the caching allocator. The cache is emptied first, because a reused block may be larger than requested."""
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
