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
    flops_kernel  what a method hands to `Freezable.kept`, forward only: in training during one call, in inference once before it.
                  0 where nothing is kept, null where a `freeze()` of another kind hides it. What a training forward fuses with
                  the filtering, as the dense Fourier form does the mixing of its kernels' spectra, counts as filtering
    kernel_share  its share in that forward
    op_count      operators that the call executes, below autograd and with composite ones taken apart: each costs a dispatch and
                  launches at least one kernel on a GPU, a transform several. Views, allocations without a fill and operators that
                  hand back their argument are not in it
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.metrics.flop_formulas import Call, Count
from bench.metrics.flop_tables import ALLOCATING, KNOWN, cost
from bench.metrics.traffic import weights_bytes
from bench.spec import Protocol
from bench.subject import Outcome, Subject


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
        raise UnknownOperator(f"no formula for {names}: add one to the tables of bench/metrics/flop_tables.py")
    return counter.total


def count(call: Callable[[], object]) -> Count:
    """The operations that `call` executes; raises `UnknownOperator`."""
    with Counter() as counter:
        call()
    return checked(counter)


def count_kept(module: Any, forward: Callable[[], object]) -> tuple[Count, Count]:
    """The operations that `module` hands to `Freezable.kept` during `forward`, and all of them. Leaves the module instrumented."""
    counter = Counter()
    for part in module.modules():
        if hasattr(part, "kept"):
            part.kept = _counted(part.kept, counter)
    total = count(forward)
    return checked(counter), total


def _counted(kept: Callable[..., Any], counter: Counter) -> Callable[..., Any]:
    def counted_kept(make: Callable[[], Any], *key: Any) -> Any:
        def counted_make() -> Any:
            with counter:
                return make()

        return kept(counted_make, *key)

    return counted_kept


def operator(subject: Subject, backend: str | None = None) -> Any:
    """The operator on the meta device with its choices made as on the cell's device, and its convolution by `backend`."""
    module = subject.build("meta")
    for part in module.modules():
        if hasattr(part, "target"):
            part.target = torch.device(subject.cell.device).type
        if backend and hasattr(part, "backend"):
            part.backend = backend
    return module


def shapes(subject: Subject) -> tuple[Tensor, Tensor]:
    """An input and a cotangent of the output that have nothing but their shape."""
    return torch.empty(subject.shape(), device="meta"), torch.empty(subject.output_shape(), device="meta")


def steady(subject: Subject, backend: str | None = None) -> Count:
    """One call as it is measured: the second one, which finds the frozen kernel made."""
    step = subject.step(operator(subject, backend), *shapes(subject))
    step()
    return count(step)


def kernel_making(subject: Subject) -> tuple[int | None, float | None]:
    """flops_kernel and kernel_share."""
    module = operator(subject)
    if any(hides(part) for part in module.modules()):
        return None, None
    x, _ = shapes(subject)
    with torch.set_grad_enabled(subject.cell.mode == "train"):
        kernel, forward = count_kept(module, lambda: module(x))
    return kernel.flops, kernel.flops / forward.flops if forward.flops else 0.0


def hides(module: Any) -> bool:
    """Whether a module freezes in a way that cannot be seen into."""
    return hasattr(module, "freeze") and not any(hasattr(part, "kept") for part in module.modules())


def _changed(subject: Subject, **settings: Any) -> Subject:
    return replace(subject, cell=replace(subject.cell, **settings))


def weights_read(subject: Subject) -> int:
    """weights_bytes: what the second call reads besides its input and cotangent."""
    given = shapes(subject)
    step = subject.step(operator(subject), *given)
    step()
    return weights_bytes(step, given)


def measure(subject: Subject, protocol: Protocol) -> Generator[None, None, Outcome]:
    subject = _changed(subject, dtype="fp32")  # precision changes no count, and meta tensors know no autocast
    call, direct = steady(subject), steady(subject, "direct")
    forward = steady(_changed(subject, mode="infer"), "direct")
    kernel, share = kernel_making(subject)
    yield
    return Outcome(
        {
            "flops": call.flops,
            "gmacs": forward.macs / 1e9,
            "flops_eff": direct.effective,
            "flops_kernel": kernel,
            "kernel_share": share,
            "flops_fft": call.fft,
            "sfu_ops": call.sfu,
            "op_count": call.operators,
            "weights_bytes": weights_read(subject),
        }
    )
