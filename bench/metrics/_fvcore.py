"""Cross-check of `gmacs` with fvcore, an independent counter that traces the module."""

from __future__ import annotations

import warnings

import torch

from bench.metrics.flops import steady
from bench.workload.build import Workload
from methods.hooks import set_backend

PRODUCTS = ("conv", "addmm", "linear", "bmm", "matmul", "mm", "einsum")  # what fvcore counts and `gmacs` includes


def compare(workload: Workload) -> str:
    """Return one sentence on the multiply-adds of a frozen forward, as counted here and by fvcore.

    fvcore cannot trace custom gradients. It counts a complex product like a real one, or not at all.
    """
    try:
        ours = steady(workload, "direct").macs
    except Exception as error:  # an operator may raise anything
        return f"not counted: {type(error).__name__}: {error}"
    try:
        theirs = _fvcore_macs(workload)
    except ModuleNotFoundError:
        return f"{ours:,} multiply-adds; fvcore is not installed"
    except Exception as error:  # tracing may raise anything
        return f"{ours:,} multiply-adds; fvcore cannot trace the method ({type(error).__name__})"
    return f"{ours:,} multiply-adds, {'as' if theirs == ours else 'not as'} counted by fvcore ({theirs:,})"


def _fvcore_macs(workload: Workload) -> int:
    module, x = workload.build("cpu"), torch.zeros(workload.shape())
    set_backend(module, "direct")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        module(x)  # computes frozen kernels
        analysis = FlopCountAnalysis(module, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        return int(sum(count for name, count in analysis.by_operator().items() if name in PRODUCTS))
