"""Track the live bytes of a call on the meta device."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.counters.flops import operation_name

COPIED = ("convolution", "convolution_backward", "_fft_c2r")  # libraries copy their operands


class Live(TorchDispatchMode):
    """A dispatch mode that tracks the bytes of new storages: `now` is the current sum and `peak` its maximum."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        inputs, outputs = _tensors((args, kwargs)), _tensors(out)
        before = {tensor.untyped_storage()._cdata for tensor in inputs}
        for storage in {tensor.untyped_storage() for tensor in outputs}:
            if storage._cdata not in before:
                self._add(storage)
        copies = sum(tensor.nbytes for tensor in (*inputs, *outputs)) if operation_name(func) in COPIED else 0
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
