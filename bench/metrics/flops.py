"""Operations of one call, counted by executing it on the meta device: no memory, milliseconds, on any machine.

What the numbers mean: every torch operator that the call really executes on the cell's device, each by its formula, for the whole
batch. An operator without a formula stops the measurement: nothing is silently free. What they do not mean: time. A transform does
few operations slowly, a matrix product many fast, and a library may take another algorithm than the textbook's.

    flops         the call in the cell's mode: a frozen forward, or a forward and a backward
    flops_fft     its Fourier transforms; sfu_ops, in none of the other columns, its exponentials, sines, roots
    flops_eff     the call where it is made by direct convolution (`backend = "direct"` on whatever has one), without the taps that
                  fall into the zero padding; for a method without a direct form that of the form it has
    gmacs         1e9 multiply-adds of convolutions and matrix products of the frozen direct forward, in either mode, which is what
                  fvcore reports: a complex multiply-add once, transforms and element-wise work 0
    flops_kernel  what a method hands to `Freezable.cached`, forward only: in training during one call, in inference once before it.
                  0 where nothing is kept, null where a `freeze()` of another kind hides it. What a training forward fuses with
                  the filtering, as the dense Fourier form does the mixing of its kernels' spectra, counts as filtering
    kernel_share  its share in that forward
    op_count      operators that the call executes, below autograd and with composite ones taken apart: each costs a dispatch and
                  launches at least one kernel on a GPU, a transform several. Views, allocations without a fill and operators that
                  hand back their argument are not in it
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import torch

from bench.counters.flops import count, count_kept
from bench.counters.formulas import Count
from bench.counters.traffic import weights_bytes
from bench.spec import Protocol
from bench.workload.build import Measurement, Workload, operator, shapes


def steady(workload: Workload, backend: str | None = None) -> Count:
    """One call as it is measured: the second one, which finds the frozen kernel made."""
    step = workload.step(operator(workload, backend), *shapes(workload))
    step()
    return count(step)


def kernel_making(workload: Workload) -> tuple[int | None, float | None]:
    """flops_kernel and kernel_share."""
    module = operator(workload)
    if any(hides(part) for part in module.modules()):
        return None, None
    x, _ = shapes(workload)
    with torch.set_grad_enabled(workload.cell.mode == "train"):
        kernel, forward = count_kept(module, lambda: module(x))
    return kernel.flops, kernel.flops / forward.flops if forward.flops else 0.0


def hides(module: Any) -> bool:
    """Whether a module freezes in a way that cannot be seen into."""
    return hasattr(module, "freeze") and not any(hasattr(part, "kept") for part in module.modules())


def _changed(workload: Workload, **settings: Any) -> Workload:
    return replace(workload, cell=replace(workload.cell, **settings))


def weights_read(workload: Workload) -> int:
    """weights_bytes: what the second call reads besides its input and cotangent."""
    given = shapes(workload)
    step = workload.step(operator(workload), *given)
    step()
    return weights_bytes(step, given)


def measure(workload: Workload, protocol: Protocol) -> Generator[None, None, Measurement]:
    workload = _changed(workload, dtype="fp32")  # precision changes no count, and meta tensors know no autocast
    call, direct = steady(workload), steady(workload, "direct")
    forward = steady(_changed(workload, mode="infer"), "direct")
    kernel, share = kernel_making(workload)
    yield
    return Measurement(
        {
            "flops": call.flops,
            "gmacs": forward.macs / 1e9,
            "flops_eff": direct.effective,
            "flops_kernel": kernel,
            "kernel_share": share,
            "flops_fft": call.fft,
            "sfu_ops": call.sfu,
            "op_count": call.operators,
            "weights_bytes": weights_read(workload),
        }
    )
