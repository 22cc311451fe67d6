"""What a call reads besides its input: found by executing it, on the meta device as well as on any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def weights_bytes(call: Callable[[], object], given: Iterable[Tensor]) -> int:
    """Bytes of the distinct tensors that `call` reads, neither made by it nor among `given`: parameters, buffers, a kept kernel.

    It is the traffic of the weights where each is read once. A part of a tensor counts as the whole of it.
    """
    with Reads() as reads:
        call()
    for tensor in given:
        reads.found.pop(_storage(tensor), None)
    return sum(reads.found.values())


class Reads(TorchDispatchMode):
    """While active, notes what memory the executed operators read before any of them has written it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[int, int] = {}  # storage: bytes
        self.made: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        for leaf in _tensors((args, kwargs)):
            if _storage(leaf) not in self.made:
                self.found[_storage(leaf)] = leaf.untyped_storage().nbytes()
        out = func(*args, **(kwargs or {}))
        self.made.update(_storage(leaf) for leaf in _tensors(out) if _storage(leaf) not in self.found)
        return out


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata  # a meta tensor has no address
