"""Measure the bytes of weights that a call reads, by executing it on any device, including the meta device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def weights_bytes(call: Callable[[], object], inputs: Iterable[Tensor]) -> int:
    """Return the bytes of the distinct tensors that `call` reads, except `inputs` and tensors that it creates.

    These are parameters, buffers and cached kernels. The sum is the memory traffic of the weights if each is read once. A view
    counts as its whole storage.
    """
    with Reads() as reads:
        call()
    for tensor in inputs:
        reads.sizes.pop(_storage(tensor), None)
    return sum(reads.sizes.values())


class Reads(TorchDispatchMode):
    """A dispatch mode that collects the storages that operations read before any operation has written them."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}  # bytes by storage
        self.written: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        for leaf in _tensors((args, kwargs)):
            if _storage(leaf) not in self.written:
                self.sizes[_storage(leaf)] = leaf.untyped_storage().nbytes()
        out = func(*args, **(kwargs or {}))
        self.written.update(_storage(leaf) for leaf in _tensors(out) if _storage(leaf) not in self.sizes)
        return out


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata  # a meta tensor has no address
