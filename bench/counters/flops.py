"""Counts the operations of every operator that a call executes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.counters.aten import ALLOCATING, KNOWN, cost
from bench.counters.formulas import Call, Count


class UnknownOperator(Exception):
    """Operators without a formula."""


class Counter(TorchDispatchMode):
    """While active, adds up the operators that are executed. Modes nest: each counts what happens inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.total = Count()
        self.unknown: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, operator_name(func)
        if name not in KNOWN and not is_view(func):
            with self:  # inference mode shows composite operators, which autograd would have taken apart
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **kwargs)
        self.total += Count(operators=_writes(func, name, args, out))
        if not is_view(func) and _computes(args, out):
            self._add(func, name, Call(args, out))
        return out

    def _add(self, func: Any, name: str, call: Call) -> None:
        one = cost(name, call)
        if one is None:
            self.unknown.add(str(func))
        else:
            self.total += one


def operator_name(func: Any) -> str:
    """`mul` for aten's `mul.Tensor` and `mul_.Tensor`; with its namespace for any other library."""
    namespace, name = func._schema.name.split("::")
    return name.removesuffix("_") if namespace == "aten" else f"{namespace}::{name}"


def is_view(func: Any) -> bool:
    """Whether an operator gives another look at its argument, or as `unsqueeze_` does makes it look at itself anew."""
    return func.is_view or torch.Tag.inplace_view in func.tags


def _writes(func: Any, name: str, args: Sequence[Any], out: Any) -> bool:
    """Whether an operator writes numbers, into memory of its own or into an argument; `contiguous` is a view or it does."""
    if name in ALLOCATING or torch.Tag.inplace_view in func.tags:
        return False
    return func._schema.is_mutable or not _storages(out) <= _storages(args)


def _storages(tree: Any) -> set[int]:
    return {leaf.untyped_storage()._cdata for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)}


def _computes(args: Sequence[Any], out: Any) -> bool:
    """Whether real or complex numbers come out, or go in where nothing comes out."""
    results = tree_leaves(out)
    leaves = tree_leaves(args) if all(leaf is None for leaf in results) else results
    return any(isinstance(leaf, Tensor) and (leaf.is_floating_point() or leaf.is_complex()) for leaf in leaves)


def checked(counter: Counter) -> Count:
    """What was counted; raises `UnknownOperator` where some of it could not be."""
    if counter.unknown:
        names = ", ".join(sorted(counter.unknown))
        raise UnknownOperator(f"no formula for {names}: add one to the tables of bench/counters/aten.py")
    return counter.total


def count(call: Callable[[], object]) -> Count:
    """The operations that `call` executes; raises `UnknownOperator`."""
    with Counter() as counter:
        call()
    return checked(counter)


def count_kept(module: Any, forward: Callable[[], object]) -> tuple[Count, Count]:
    """Count the operations inside `Freezable.cached` during `forward`, and all of them. The module stays instrumented."""
    counter = Counter()
    for part in module.modules():
        if hasattr(part, "kept"):
            part.cached = _counted(part.cached, counter)
    total = count(forward)
    return checked(counter), total


def _counted(kept: Callable[..., Any], counter: Counter) -> Callable[..., Any]:
    def counted_kept(make: Callable[[], Any], *key: Any) -> Any:
        def counted_make() -> Any:
            with counter:
                return make()

        return kept(counted_make, *key)

    return counted_kept
