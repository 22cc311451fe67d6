"""Predict the operations and bytes of a call by executing it on the meta device.

The bytes are those of the input, the weights and `SAFETY` times the peak of the live tensors during the first call. In inference
the first call also computes the cached kernel. Convolutions and inverse transforms are assumed to copy every operand, because
libraries use their own layouts. The allocator's measured peak of the methods here is 0.5 to 1.01 of the prediction. Only the
backward of torch's depthwise convolution with a large kernel needs more, up to 3 times. The prediction is for float32, which bounds
the other precisions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from bench.counters.flops import Counter
from bench.counters.live_bytes import Live
from bench.workload.build import Workload, operator, shapes

SAFETY = 1.1


class Prediction(NamedTuple):
    """FLOPs of one call, None if an operation has no formula; bytes that it needs, 0 if unknown."""

    flops: int | None
    bytes: int


UNKNOWN = Prediction(None, 0)


def predict(workload: Workload) -> Prediction:
    """Predict one call of the cell in its mode and on its device.

    Returns `UNKNOWN` if the operator cannot be built or run on the meta device.
    """
    try:
        return _executed(replace(workload, cell=replace(workload.cell, dtype="fp32")))
    except Exception:  # the real call has its own error handling
        return UNKNOWN


def _executed(workload: Workload) -> Prediction:
    module = operator(workload)
    x, cotangent = shapes(workload)
    permanent = x.nbytes + sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
    step = workload.step(module, x, cotangent)
    with Live() as live, Counter() as counter:  # the counter decomposes the composite operations of inference mode
        step()
    if workload.cell.mode == "infer":  # the second call uses the cached kernel
        with Counter() as counter:
            step()
    return Prediction(None if counter.unknown else counter.total.flops, round(permanent + SAFETY * live.peak))
