"""What a call will cost, before any of it runs: operations and bytes from an execution on the meta device.

The bytes are the input, the weights and `SAFETY` times the most that tensors hold at once during the first call, which in inference
also makes the kernel that is kept. In a convolution and an inverse transform they hold, besides, a copy of every operand: libraries
work in layouts of their own. So predicted, the allocator's peak of the methods here is 0.5 to 1.01 of the figure; only the backward
of torch's own depthwise convolution with a large kernel takes more, up to 3 times. The precision is float32: it bounds the others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from bench.counters.flops import Counter
from bench.counters.live_bytes import Live
from bench.workload.build import Workload, operator, shapes

SAFETY = 1.1


class Prediction(NamedTuple):
    """FLOPs of one call, None where an operator has no formula; bytes that it needs, 0 where they cannot be known."""

    flops: int | None
    bytes: int


UNKNOWN = Prediction(None, 0)


def predict(workload: Workload) -> Prediction:
    """One call of the cell in its mode, as executed on its device; `UNKNOWN` where the operator cannot be built or run on meta."""
    try:
        return _executed(replace(workload, cell=replace(workload.cell, dtype="fp32")))
    except Exception:  # the real call will fail or not, with a status and a reason of its own
        return UNKNOWN


def _executed(workload: Workload) -> Prediction:
    module = operator(workload)
    x, cotangent = shapes(workload)
    held = x.nbytes + sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
    step = workload.step(module, x, cotangent)
    with Live() as live, Counter() as counter:  # which takes apart the composite operators that inference mode shows
        step()
    if workload.cell.mode == "infer":  # the next call finds the kernel made
        with Counter() as counter:
            step()
    return Prediction(None if counter.unknown else counter.total.flops, round(held + SAFETY * live.peak))
