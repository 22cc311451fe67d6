"""The counted operations of every registered method agree with independent counts.

In inference: the method's closed form, and fvcore, which traces the direct form with handles for transforms and complex products.
In training: the forward plus the backward by the rules of differentiation, and torch's counter. fvcore traces only forwards.
"""

from __future__ import annotations

import math
from collections import Counter as Tally

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

import methods
from bench.counters.aten import cost
from bench.counters.flops import Counter, checked, count_cached, operation_name
from bench.counters.formulas import Call
from bench.metrics.flops import steady
from bench.workload.build import operator
from methods import contract
from methods.parts import dense_paths, spectral
from tests.builders import workload_of

SIZES = [*contract.SIZES, (28, 28)]
ODD = (13, 16)
# Code paths that are not the default at these sizes.
OPTIONS = {
    "dwconv": {"backend": "fft"},
    "niff": {"boundary": "zero"},
    "flexconv": {"sigma": 0.5},
    "flexconv_dw": {"sigma": 0.5},
    "afno": {"fraction": 0.5},
    "shared_basis": {"shared_rank": 16, "unique_rank": 8},
}


# --- inference: the closed form ---


def check_closed_form(workload):
    """Check the counts of the frozen forward and of the cached kernel against the closed form of the method."""
    module, x = operator(workload), torch.empty(workload.shape(), device="meta")
    with torch.no_grad():
        stated = module.flops(*x.shape[2:])
        kernel, first = count_cached(module, lambda: module(x))
    apply = steady(workload)
    assert (kernel.structural, apply.structural) == (stated.kernel, stated.apply)
    assert first == kernel + apply


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", methods.names())
def test_closed_form_of_a_method(name, size):
    assert hasattr(methods.get(name).cls, "flops"), "state the operations of a call in a method `flops(H, W)`"
    check_closed_form(workload_of(name, size))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("name", "options"), OPTIONS.items(), ids=OPTIONS)
def test_closed_form_on_other_code_paths(name, options, size):
    check_closed_form(workload_of(name, size, params=tuple(options.items())))


# --- inference: fvcore ---

# Operations that fvcore does not count, by method. Other methods may only have those of the listed ones.
UNCOUNTED = {
    **{name: set() for name in methods.names() if "conv" in name},
    **{name: set() for name in ("niff", "niff_big", "niff_split", "global_filter", "shared_basis")},
    "niff_full": {"unflatten"},
    "dynamic_filter": {"add", "add_", "mean", "mT", "softmax", "square_", "unflatten", "view_as_complex", "view_as_real"},
    "afno": {"_conj", "add", "add_", "clone", "complex", "div", "flip", "mT", "softshrink", "unflatten"}
    | {"view_as_complex", "view_as_real"},
}
WITHOUT_PRODUCTS = set().union(*UNCOUNTED.values())


def plain_transforms(monkeypatch):
    """Replace custom gradients, which cannot be traced."""
    monkeypatch.setattr(spectral._RFFT2, "apply", lambda x, height, width: torch.fft.rfft2(x, s=(height, width)))
    monkeypatch.setattr(spectral._IRFFT2, "apply", lambda half, height, width: torch.fft.irfft2(half, s=(height, width)))


def real_transforms(shape):
    """Count a transform by hand: rows of the real transform, columns of the half spectrum."""
    *planes, height, width = shape
    one = 2.5 * height * width * math.log2(width) + 5 * (width // 2 + 1) * height * math.log2(height)
    return math.prod(planes) * round(one)


def is_complex(value):
    return value.isCompleteTensor() and value.type().dtype().is_complex


def transform_handle(of_result):
    def handle(inputs, outputs):
        real = outputs[0] if of_result else inputs[0]
        return Tally(fft=real_transforms(real.type().sizes()))

    return handle


def product_handle(inputs, outputs):
    if not is_complex(outputs[0]):
        return Tally()
    each = 6 if all(map(is_complex, inputs)) else 2
    return Tally(product=each * math.prod(outputs[0].type().sizes()))


def fvcore_counts(workload):
    from fvcore.nn import FlopCountAnalysis

    module = workload.build("cpu")
    for part in module.modules():
        if hasattr(part, "backend"):
            part.backend = "direct"
    x = torch.zeros(workload.shape())
    with torch.no_grad():
        module(x)  # freezes
        analysis = FlopCountAnalysis(module, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analysis.set_op_handle("aten::fft_rfft2", transform_handle(False), "aten::fft_irfft2", transform_handle(True))
        analysis.set_op_handle("aten::mul", product_handle, "aten::mul_", product_handle)
        counted = analysis.by_operator()
        return counted, {name.removeprefix("aten::") for name in analysis.unsupported_ops()}


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
@pytest.mark.parametrize("name", methods.names())
def test_counter_agrees_with_fvcore(name, monkeypatch):
    plain_transforms(monkeypatch)
    workload = workload_of(name, ODD)
    counted, uncounted = fvcore_counts(workload)
    ours = steady(workload, "direct")
    assert counted["fft"] == ours.fft
    assert counted["product"] == ours.product
    assert sum(counted[kind] for kind in ("conv", "linear", "matmul", "bmm", "addmm", "einsum")) == ours.macs
    assert uncounted == UNCOUNTED.get(name, uncounted)
    assert uncounted <= WITHOUT_PRODUCTS


# --- training: the forward and the backward that follows from it ---

PRODUCTS = {**dict.fromkeys(("mm", "bmm", "mv", "convolution"), (0, 1)), **dict.fromkeys(("addmm", "baddbmm"), (1, 2))}


class Backward(TorchDispatchMode):
    """Sums the cost of the backward during a forward, by the rules of differentiation.

    The gradient of a convolution or matrix product for each factor that depends on the input or a weight costs as much as
    the forward. That of a transform is one of the same size, of an inverse one besides a product of the half spectrum with the real
    weights of its columns. That of a complex product for each factor is the product of a complex map with the other factor.
    """

    def __init__(self, variables):
        super().__init__()
        self.total = Tally()
        self.varying = {
            id(tensor): tensor for tensor in variables
        }  # kept alive: a later tensor must not reuse the id of a freed one
        self.storages = set()

    def varies(self, value):
        return isinstance(value, torch.Tensor) and (id(value) in self.varying or value.untyped_storage()._cdata in self.storages)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        depends = any(self.varies(leaf) for leaf in tree_leaves(args))
        out = func(*args, **(kwargs or {}))
        if depends:
            self.total += self.gradients(operation_name(func), args, out)
            results = [leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
            self.varying.update((id(leaf), leaf) for leaf in results)
            if func._schema.is_mutable:  # an in-place write to a view also changes its base
                self.storages.update(leaf.untyped_storage()._cdata for leaf in results)
        return out

    def gradients(self, name, args, out):
        if name in PRODUCTS:
            factors = sum(self.varies(args[index]) for index in PRODUCTS[name])
            return Tally(linear=factors * cost(name, Call(args, out)).linear)
        if name == "_fft_r2c":
            return Tally(fft=real_transforms(args[0].shape))
        if name == "_fft_c2r":
            return Tally(fft=real_transforms(out.shape), product=2 * args[0].numel())
        if name == "mul" and out.is_complex() and all(isinstance(factor, torch.Tensor) and factor.ndim for factor in args[:2]):
            each = {True: 6, False: 2}
            pairs = zip(args[:2], args[1::-1])
            return Tally(product=out.numel() * sum(each[other.is_complex()] for one, other in pairs if self.varies(one)))
        return Tally()


def made_again(monkeypatch):
    """Count the spectra that the dense path computes in the forward, frees, and recomputes for the backward."""
    counter, make = Counter(), dense_paths.dense_spectra

    def counted(basis, matrix):
        with counter:
            return make(basis, matrix)

    monkeypatch.setattr(dense_paths, "dense_spectra", counted)
    return counter


def on_meta(workload):
    """Return the operator in the cell's mode and an image that requires a gradient, on the meta device."""
    return operator(workload), torch.empty(workload.shape(), device="meta", requires_grad=True)


def kinds(total):
    return Tally(linear=total.linear, fft=total.fft, product=total.product)


@pytest.mark.parametrize("size", [(12, 12), ODD], ids=str)
@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in methods.names()), *OPTIONS.items()])
def test_training_call_agrees_with_the_rules_of_differentiation(name, options, size, monkeypatch):
    workload = workload_of(name, size, mode="train", params=tuple(options.items()))
    module, x = on_meta(workload)
    again = made_again(monkeypatch)
    with Backward([x, *module.parameters()]) as backward, Counter() as forward:
        module(x)
    monkeypatch.undo()
    expected = kinds(checked(forward)) + backward.total + kinds(checked(again))
    assert kinds(steady(workload)) == expected


# --- training: torch's counter ---


def convolution_backward(grad, x, weight, *settings, out_val=None):
    """Correct torch's formula, which counts the weight gradient of a grouped convolution like a dense one."""
    return sum(settings[-1][:2]) * 2 * grad.numel() * weight[0].numel()


def matrix_product(*factors, out_val=None):
    """Correct torch's formula, which counts complex factors like real ones."""
    left = factors[-2]
    return (8 if left.is_complex() else 2) * out_val.numel() * left.shape[-1]


def raw(formula):
    formula._get_raw = True
    return formula


@pytest.mark.parametrize("mode", ["infer", "train"])
@pytest.mark.parametrize("name", methods.names())
def test_convolutions_and_matrix_products_agree_with_torchs_counter(name, mode):
    workload = workload_of(name, ODD, mode=mode)
    aten = torch.ops.aten
    mapping = {aten.convolution_backward: raw(convolution_backward)}
    mapping |= dict.fromkeys((aten.mm, aten.bmm, aten.addmm, aten.baddbmm), raw(matrix_product))
    module, x = on_meta(workload)
    train = mode == "train"
    with torch.set_grad_enabled(train):
        module(x)  # freezes
        with FlopCounterMode(display=False, custom_mapping=mapping) as theirs:
            y = module(x)
            if train:
                y.backward(torch.empty_like(y))
    assert theirs.get_total_flops() == steady(workload).linear
