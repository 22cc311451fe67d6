"""What a call will cost, before any of it runs: operations and bytes from an execution on the meta device.

The bytes are the input, the weights and `SAFETY` times the most that tensors hold at once during the first call, which in inference
also makes the kernel that is kept. In a convolution and an inverse transform they hold, besides, a copy of every operand: libraries
work in layouts of their own. So predicted, the allocator's peak of the methods here is 0.5 to 1.01 of the figure; only the backward
of torch's own depthwise convolution with a large kernel takes more, up to 3 times. The precision is float32: it bounds the others.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.metrics.flops import Counter, operator, operator_name, shapes
from bench.subject import Subject

SAFETY = 1.1
COPIED = ("convolution", "convolution_backward", "_fft_c2r")  # a library copies their operands


class Prediction(NamedTuple):
    """FLOPs of one call, None where an operator has no formula; bytes that it needs, 0 where they cannot be known."""

    flops: int | None
    bytes: int


UNKNOWN = Prediction(None, 0)


def predict(subject: Subject) -> Prediction:
    """One call of the cell in its mode, as executed on its device; `UNKNOWN` where the operator cannot be built or run on meta."""
    try:
        return _executed(replace(subject, cell=replace(subject.cell, dtype="fp32")))
    except Exception:  # the real call will fail or not, with a status and a reason of its own
        return UNKNOWN


def _executed(subject: Subject) -> Prediction:
    module = operator(subject)
    x, cotangent = shapes(subject)
    held = x.nbytes + sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
    step = subject.step(module, x, cotangent)
    with Live() as live, Counter() as counter:  # which takes apart the composite operators that inference mode shows
        step()
    if subject.cell.mode == "infer":  # the next call finds the kernel made
        with Counter() as counter:
            step()
    return Prediction(None if counter.unknown else counter.total.flops, round(held + SAFETY * live.peak))


class Live(TorchDispatchMode):
    """While active, follows the bytes of the storages that operators make: `now`, and `peak`, the most at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        given, made = _tensors((args, kwargs)), _tensors(out)
        before = {tensor.untyped_storage()._cdata for tensor in given}
        for storage in {tensor.untyped_storage() for tensor in made}:
            if storage._cdata not in before:
                self._add(storage)
        copies = sum(tensor.nbytes for tensor in (*given, *made)) if operator_name(func) in COPIED else 0
        self.peak = max(self.peak, self.now + copies)
        return out

    def _add(self, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()
        self.now += size
        weakref.finalize(storage, self._remove, size)

    def _remove(self, size: int) -> None:
        self.now -= size


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
