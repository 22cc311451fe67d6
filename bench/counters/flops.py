"""Count the floating-point operations of all ATen operations that a call executes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.counters.aten import ALLOCATING, KNOWN, cost
from bench.counters.formulas import Call, Count
from methods.hooks import has_cache


class UnknownOperator(Exception):
    """A call executes operations without a formula."""


class Counter(TorchDispatchMode):
    """A dispatch mode that sums the costs of all executed operations. Nested counters each count what runs inside them."""

    def __init__(self) -> None:
        super().__init__()
        self.total = Count()
        self.unknown: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, operation_name(func)
        if name not in KNOWN and not is_view(func):
            with self:  # inference mode dispatches composite operations, which autograd would decompose
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        out = func(*args, **kwargs)
        self.total += Count(operators=_writes(func, name, args, out))
        if not is_view(func) and _computes(args, out):
            self._add(func, name, Call(args, out))
        return out

    def _add(self, func: Any, name: str, call: Call) -> None:
        added = cost(name, call)
        if added is None:
            self.unknown.add(str(func))
        else:
            self.total += added


def operation_name(func: Any) -> str:
    """Return the name of an operation: `mul` for aten's `mul.Tensor` and `mul_.Tensor`, with the namespace for other libraries."""
    namespace, name = func._schema.name.split("::")
    return name.removesuffix("_") if namespace == "aten" else f"{namespace}::{name}"


def is_view(func: Any) -> bool:
    """Return whether an operation returns a view of its argument or changes the view in place, as `unsqueeze_` does."""
    return func.is_view or torch.Tag.inplace_view in func.tags


def _writes(func: Any, name: str, args: Sequence[Any], out: Any) -> bool:
    """Return whether an operation writes values, to new memory or to an argument. `contiguous` may do either."""
    if name in ALLOCATING or torch.Tag.inplace_view in func.tags:
        return False
    return func._schema.is_mutable or not _storages(out) <= _storages(args)


def _storages(tree: Any) -> set[int]:
    return {leaf.untyped_storage()._cdata for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)}


def _computes(args: Sequence[Any], out: Any) -> bool:
    """Return whether the results, or the arguments if there are no results, are floating-point or complex tensors."""
    results = tree_leaves(out)
    leaves = tree_leaves(args) if all(leaf is None for leaf in results) else results
    return any(isinstance(leaf, Tensor) and (leaf.is_floating_point() or leaf.is_complex()) for leaf in leaves)


def checked(counter: Counter) -> Count:
    """Return the total. Raises `UnknownOperator` if an operation has no formula."""
    if counter.unknown:
        names = ", ".join(sorted(counter.unknown))
        raise UnknownOperator(f"no formula for {names}: add one to the tables of bench/counters/aten.py")
    return counter.total


def count(call: Callable[[], object]) -> Count:
    """Count the operations that `call` executes. Raises `UnknownOperator` if one has no formula."""
    with Counter() as counter:
        call()
    return checked(counter)


def count_cached(module: Any, forward: Callable[[], object]) -> tuple[Count, Count]:
    """Count the operations inside `Freezable.cached` during `forward`, and all operations. The module stays instrumented."""
    counter = Counter()
    for part in module.modules():
        if has_cache(part):
            part.cached = _counted(part.cached, counter)
    total = count(forward)
    return checked(counter), total


def _counted(cached: Callable[..., Any], counter: Counter) -> Callable[..., Any]:
    def counted_cached(make: Callable[[], Any], *key: Any) -> Any:
        def counted_make() -> Any:
            with counter:
                return make()

        return cached(counted_make, *key)

    return counted_cached
