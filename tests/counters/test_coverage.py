"""Every operation of every registered method has a formula or is listed as free; otherwise the count fails."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import methods
from bench.counters.aten import COMPLEX, FORMULAS, FREE, KNOWN, REAL, REDUCTIONS
from bench.counters.flops import Counter, UnknownOperator, count, operation_name
from bench.workload.build import operator
from tests.builders import workload_of


@pytest.mark.parametrize("mode", ["infer", "train"])
@pytest.mark.parametrize("name", methods.names())
def test_every_operation_of_a_method_has_a_formula_or_is_free(name, mode):
    """The names are those dispatched, not the counter's own list of unknown operations."""
    seen = set()

    class Names(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            floating = any(
                isinstance(leaf, torch.Tensor) and (leaf.is_floating_point() or leaf.is_complex()) for leaf in tree_leaves(out)
            )
            if floating and not func.is_view:
                seen.add(operation_name(func))
            return out

    workload = workload_of(name, mode=mode)
    x, cotangent = torch.empty(2, *workload.shape(), device="meta")
    step = workload.step(operator(workload), x, cotangent)
    with Names(), Counter() as counter:
        step()
    assert counter.unknown == set()
    assert seen <= KNOWN, f"in no table of flop_tables: {seen - KNOWN}"


def test_free_operations_are_in_no_other_table():
    assert FREE.isdisjoint({*FORMULAS, *REAL, *COMPLEX, *REDUCTIONS})


@pytest.mark.parametrize("mode", ["infer", "train"])
def test_operation_without_a_formula_is_named_in_the_error(mode):
    x = torch.empty(3, device="meta", requires_grad=mode == "train")
    with torch.inference_mode(mode == "infer"), pytest.raises(UnknownOperator, match=r"aten\.lgamma"):
        count(x.lgamma)
