"""The predicted cost of a call, compared with tensors counted by hand and with the allocator."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import methods
from bench.counters.live_bytes import Live
from bench.metrics.flops import steady
from bench.metrics.memory import cpu_peak
from bench.spec import Cell
from bench.workload.build import Workload
from bench.workload.cost import SAFETY, UNKNOWN, predict
from methods import contract
from methods.parts.spectral import linear_size

SCRATCH = {"dwconv31_direct": 4.0}  # torch's large depthwise convolution unfolds its input for the gradient of the weight


def peak(call):
    with Live() as live:
        call()
    return live.peak, live.now


def test_live_bytes_by_hand():
    x = torch.empty(1000, device="meta")
    assert peak(x.relu) == (4000, 0)
    assert peak(lambda: (x.relu(), None)[1]) == (4000, 0)
    assert peak(lambda: x.relu().neg().exp()) == (8000, 0)  # a tensor is freed when the next but one is created
    assert peak(lambda: x.view(10, 100).t()[2:]) == (0, 0)
    assert peak(lambda: x.double().t()) == (8000, 0)
    assert peak(lambda: x.add_(1)) == (0, 0)
    assert peak(lambda: torch.cat([x, x]).chunk(2)) == (8000, 0)


def test_referenced_tensors_stay_live():
    x, kept = torch.empty(1000, device="meta"), []
    with Live() as live:
        kept.append(x.relu())
        kept.append(x.relu()[:10])  # its whole storage
        x.neg()
        assert (live.now, live.peak) == (8000, 12000)
        kept.clear()
        assert live.now == 0


def test_tensors_saved_by_autograd_stay_live_until_the_backward():
    x = torch.empty(1000, device="meta", requires_grad=True)
    with Live() as live:
        y = x.exp().sigmoid().sum()
        assert live.now == 8004
        (gradient,) = torch.autograd.grad(y, x)
        del y
        assert live.now == gradient.nbytes == 4000
    assert live.peak > 12000


def test_convolution_and_inverse_transform_copy_their_operands():
    x, weight = torch.empty(1, 8, 10, 10, device="meta"), torch.empty(8, 1, 3, 3, device="meta")
    assert peak(lambda: torch.conv2d(x, weight, padding=1, groups=8))[0] == 3200 + (2 * 3200 + 8 * 9 * 4)
    spectrum = torch.empty(8, 10, 6, dtype=torch.complex64, device="meta")
    assert peak(lambda: torch._fft_c2r(spectrum, (1, 2), 2, 10))[0] == 3200 + (3200 + 8 * 60 * 8)


def workload_of(name, size=(32, 32), **settings):
    kernel = contract.KERNEL if methods.get(name).entry.needs_kernel else None
    return Workload(Cell(name, *size, settings.pop("channels", 16), kernel=kernel, **settings))


def held(workload):
    module = workload.module
    return workload.inputs().nbytes + sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


@pytest.mark.parametrize("mode", ["infer", "train"])
@pytest.mark.parametrize("name", methods.names())
def test_prediction_of_every_method(name, mode):
    """The measured peak is between a third of the prediction and the prediction; the operations equal those of the metric.

    Uses 64 channels, because torch unfolds maps below 20,000 values, whose copies are relatively large.
    """
    workload = workload_of(name, channels=64, mode=mode)
    prediction = predict(workload)
    assert prediction.flops == steady(workload).flops
    before = held(workload)
    step = workload.step(workload.module, workload.inputs(), workload.inputs(500))
    needed = before + cpu_peak(step)
    excess = SCRATCH.get(name, 1.0)
    assert prediction.bytes / 3 <= needed <= prediction.bytes * excess


def test_prediction_by_hand():
    """For dwconv31 in inference: the cached spectrum, two spectra of the image and the copies of the last transform."""
    workload = workload_of("dwconv31", (56, 56))
    height, width = linear_size((56, 56), (31, 31))
    padded, spectrum = 16 * height * width * 4, 16 * height * (width // 2 + 1) * 8
    live = 2 * spectrum + padded + (spectrum + padded)
    assert predict(workload).bytes == round(held(workload) + SAFETY * live)


def test_huge_cell_is_predicted_without_memory():
    prediction = predict(workload_of("dwconv31", (8192, 8192), channels=1024, batch=64, mode="train"))
    assert prediction.bytes > 64 * 1024 * 8192**2 * 4 * 5
    assert prediction.flops is not None and prediction.flops > 1e13


def test_prediction_does_not_depend_on_the_precision():
    assert predict(workload_of("niff", dtype="bf16")) == predict(workload_of("niff"))


class Odd(nn.Module):
    """An operator that fails on the meta device, or that has an operation without a formula."""

    def __init__(self, what):
        super().__init__()
        self.what = what

    def forward(self, x):
        return x * x.sum().item() if self.what == "looks_at_values" else x.lgamma()


class Given(Workload):
    def operator(self, channels, resolution):
        if self.cell.method == "declines":
            raise methods.Unsupported("never")
        return Odd(self.cell.method)


@pytest.mark.parametrize("what", ["looks_at_values", "declines"])
def test_operator_that_fails_on_meta_is_unknown(what):
    assert predict(Given(Cell(what, 32, 32))) == UNKNOWN == (None, 0)


def test_bytes_are_predicted_without_a_formula():
    one = 64 * 32 * 32 * 4
    assert predict(Given(Cell("lgamma", 32, 32))) == (None, round(one + SAFETY * one))
