"""Operations of one call, counted by executing it on the meta device: without memory, in milliseconds, on any machine.

The counts are those of the ATen operations that the call executes on the cell's device, each by its formula, for the whole batch.
An operation without a formula raises an error. The counts do not predict the time: a transform has few operations and a low rate, a
matrix product many at a high rate, and a library may use a different algorithm.

    flops         the call in the cell's mode: a frozen forward, or a forward and a backward
    flops_fft     its Fourier transforms
    sfu_ops       its exponentials, sines and roots, which are in no other column
    flops_eff     the call by direct convolution (`backend = "direct"` if supported, else the existing form), without the taps in
                  the zero padding
    gmacs         1e9 multiply-adds of convolutions and matrix products of the frozen direct forward, in either mode, as reported
                  by fvcore: a complex multiply-add counts once, transforms and element-wise operations 0
    flops_kernel  the computation of the kernel inside `Freezable.cached`, forward only: during each call in training, once before
                  the calls in inference. 0 if nothing is cached, null if another kind of `freeze()` hides it. Work that a training
                  forward fuses with the filtering counts as filtering, such as the mixing of spectra in the dense Fourier form
    kernel_share  the share of flops_kernel in that forward
    op_count      executed operations below autograd, with composite ones decomposed: each costs a dispatch and launches at least
                  one kernel on a GPU, a transform several. Excludes views, uninitialised allocations and operations that return
                  their argument
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import torch

from bench.columns import Column, Metric
from bench.counters.flops import count, count_cached
from bench.counters.formulas import Count
from bench.counters.traffic import weights_bytes
from bench.spec import Protocol
from bench.workload.build import Measurement, Workload, operator, shapes
from methods.hooks import can_freeze, has_cache

METRIC = Metric(
    columns=(
        Column(
            "flops",
            unit="FLOP",
            better="lower",
            heading="GFLOP",
            meaning="real operations of one call as executed on this device; conventions in README",
        ),
        Column(
            "gmacs",
            unit="GMAC",
            better="lower",
            heading="GMAC",
            best=False,
            meaning="multiply-adds of the direct form as counted by fvcore, where an FFT counts 0",
        ),
        Column(
            "flops_eff",
            unit="FLOP",
            better="lower",
            meaning="operations of the direct form, counting only taps inside the feature map",
        ),
        Column(
            "flops_kernel",
            unit="FLOP",
            better="lower",
            meaning="operations to compute the kernel: per training call, once before inference",
        ),
        Column("kernel_share", meaning="flops_kernel as a fraction of a forward pass that computes its kernel"),
        Column("flops_fft", unit="FLOP", better="lower", meaning="operations in Fourier transforms, included in flops"),
        Column("sfu_ops", better="lower", meaning="transcendental evaluations (exp, sin, erf, ...), not included in flops"),
        Column("op_count", better="lower", meaning="ATen operations per call, without views and bare allocations"),
        Column(
            "weights_bytes",
            unit="B",
            better="lower",
            meaning="weights read per call; a cached kernel replaces those it is computed from",
        ),
    ),
    calls=0,
    typical_seconds=0.5,
    depends_on=("torch",),
)


def steady(workload: Workload, backend: str | None = None) -> Count:
    """Count the second call, which uses the cached kernel, as in the timings."""
    step = workload.step(operator(workload, backend), *shapes(workload))
    step()
    return count(step)


def kernel_cost(workload: Workload) -> tuple[int | None, float | None]:
    """Return flops_kernel and kernel_share."""
    module = operator(workload)
    if any(has_opaque_freeze(part) for part in module.modules()):
        return None, None
    x, _ = shapes(workload)
    with torch.set_grad_enabled(workload.cell.mode == "train"):
        kernel, forward = count_cached(module, lambda: module(x))
    return kernel.flops, kernel.flops / forward.flops if forward.flops else 0.0


def has_opaque_freeze(module: Any) -> bool:
    """Return whether a module has a `freeze()` that does not use `Freezable.cached`."""
    return can_freeze(module) and not any(map(has_cache, module.modules()))


def _changed(workload: Workload, **settings: Any) -> Workload:
    return replace(workload, cell=replace(workload.cell, **settings))


def weights_read(workload: Workload) -> int:
    """Return weights_bytes: what the second call reads in addition to its input and cotangent."""
    inputs = shapes(workload)
    step = workload.step(operator(workload), *inputs)
    step()
    return weights_bytes(step, inputs)


def measure(workload: Workload, protocol: Protocol) -> Generator[None, None, Measurement]:
    """Count the operations. Raises `UnknownOperator` if an operation has no formula."""
    workload = _changed(
        workload, dtype="fp32"
    )  # the counts do not depend on the precision, and meta tensors do not support autocast
    call, direct = steady(workload), steady(workload, "direct")
    forward = steady(_changed(workload, mode="infer"), "direct")
    kernel, share = kernel_cost(workload)
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
