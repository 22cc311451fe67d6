"""The flops metric: its columns, and operations without a formula. The counts of the methods: tests/counters/test_selftest.py."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench import columns
from bench.counters.flops import UnknownOperator, count
from bench.counters.formulas import taps_inside
from bench.metrics import flops
from bench.metrics.flops import kernel_cost, steady
from bench.spec import Cell
from bench.workload.build import Workload
from methods.parts.cost import rfft2_flops
from tests.builders import values_of, workload_of

CONV_METHODS = ["conv3", "conv7", "dwconv3", "dwconv7", "dwconv13", "dwconv31", "dwconv51", "dwconv_full"]


@pytest.mark.parametrize("name", CONV_METHODS)
def test_backward_of_a_convolution_is_twice_its_forward(name):
    forward, step = (steady(workload_of(name, mode=mode), "direct") for mode in ("infer", "train"))
    assert step.linear == 3 * forward.linear
    assert step.inside == 3 * forward.inside


def test_columns_of_the_metric():
    assert list(values_of(flops, workload_of("dwconv7"))) == columns.columns_of("flops")


def test_values_of_a_fourier_convolution():
    """For dwconv31 at 56 x 56: transforms of 72 x 72, forward and inverse of the map, and of the kernel."""
    one, points, maps = rfft2_flops(72, 72), 72 * 37, 2 * 64 * 56 * 56
    values = values_of(flops, workload_of("dwconv31", (56, 56), 64, batch=2))
    assert values["flops"] == 128 * (2 * one + 6 * points) + maps  # the bias
    assert values["flops_fft"] == 128 * 2 * one
    assert values["flops_kernel"] == 64 * one
    assert values["kernel_share"] == 64 * one / (64 * one + values["flops"])
    assert values["gmacs"] == maps * 31**2 / 1e9
    assert values["flops_eff"] == 2 * 2 * 64 * taps_inside(56, 56, 31, padding=15) ** 2 + maps
    assert values["sfu_ops"] == 0


def test_training_call_costs_three_forwards():
    """The backward in Fourier space costs two forwards, for the gradients of the map and of the kernel."""
    values = values_of(flops, workload_of("dwconv31", (56, 56), 64, mode="train"))
    one = rfft2_flops(72, 72)
    assert values["flops_fft"] == 64 * 6 * one
    assert values["flops_kernel"] == 64 * one
    assert values["gmacs"] == values_of(flops, workload_of("dwconv31", (56, 56), 64))["gmacs"]


def test_code_path_of_the_cells_device_is_counted():
    assert values_of(flops, workload_of("dwconv31", device="cpu"))["flops_fft"] > 0
    assert values_of(flops, workload_of("dwconv31", device="cuda:0", dtype="bf16"))["flops_fft"] == 0


def test_counts_do_not_depend_on_the_precision():
    assert values_of(flops, workload_of("dwconv31", mode="train")) == values_of(
        flops, workload_of("dwconv31", mode="train", dtype="bf16")
    )


def test_kernel_computed_only_in_inference_is_not_counted_in_training():
    """The shared basis folds its normalisation only for inference."""
    assert kernel_cost(workload_of("shared_basis"))[0] > 0
    assert kernel_cost(workload_of("shared_basis", mode="train")) == (0, 0.0)


def test_opaque_freeze_gives_null():
    values = values_of(flops, Given(Cell("own_freeze", 12, 12, channels=16)))
    assert values["flops_kernel"] is None and values["kernel_share"] is None
    assert (values["flops"], values["sfu_ops"]) == (0, 16 * 144)


def test_counting_needs_no_memory():
    workload = workload_of("dwconv_full", (2048, 2048), 256, batch=8, mode="train")
    assert steady(workload).fft == 256 * (2 * 8 + 1) * 2 * rfft2_flops(3072, 3072)


@torch.library.custom_op("bench_tests::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return x * 2


twice.register_fake(torch.empty_like)


def operators(call):
    return count(call).operators


def test_op_count_includes_operations_that_write_values():
    x, y = torch.empty(4, 4, device="meta"), torch.empty(4, 4, device="meta")
    assert operators(lambda: x + y) == operators(lambda: x.add_(y)) == operators(lambda: x > 0) == operators(lambda: x @ y) == 1
    assert operators(lambda: x.relu().neg().exp()) == 3
    assert operators(lambda: x.t().reshape(-1)) == operators(lambda: x.t().flatten()) == 1  # a transpose copies here
    assert operators(lambda: x.t()[1:].unsqueeze(0).expand(3, -1, -1).detach().real) == 0
    assert operators(lambda: torch.empty(3, device="meta").new_empty(5).unsqueeze_(0)) == 0
    assert operators(lambda: torch.zeros(3, device="meta")) == 1  # a fill
    assert operators(lambda: (x.contiguous(), x.to(torch.float32), x.reshape(4, 4))) == 0  # return their argument
    assert operators(lambda: x.t().contiguous()) == operators(x.double) == 1
    assert operators(lambda: x.copy_(y)) == operators(lambda: torch.arange(3, device="meta")) == 1


def test_op_count_decomposes_composite_operations_in_inference_mode():
    x, weight = torch.empty(1, 4, 8, 8, device="meta"), torch.empty(4, 1, 3, 3, device="meta")
    with torch.inference_mode():
        assert operators(lambda: torch.conv2d(x, weight, groups=4)) == 1
        assert operators(lambda: torch.fft.irfft2(torch.fft.rfft2(x))) == 2
        assert operators(lambda: (x.contiguous(), x.reshape(4, 64), x.mT)) == 0
        assert operators(x.mT.contiguous) == operators(lambda: x.mT.reshape(-1)) == 1


def test_op_count_of_a_method():
    """For dwconv31: pad, transform, product, inverse transform, crop, bias. In training also the kernel and the backward."""
    assert values_of(flops, workload_of("dwconv31"))["op_count"] == 6
    assert values_of(flops, workload_of("dwconv3"))["op_count"] == 1
    assert values_of(flops, workload_of("dwconv3", mode="train"))["op_count"] == 2
    assert values_of(flops, workload_of("dwconv31", mode="train"))["op_count"] > 18


class Twice(nn.Module):
    """Uses an operation without a formula."""

    def forward(self, x):
        return twice(x)


class OwnFreeze(nn.Module):
    """Has a `freeze()` without `Freezable`."""

    def freeze(self):
        return self

    def forward(self, x):
        return x.exp()


class Given(Workload):
    """Any module as the operator."""

    def operator(self, channels, resolution):
        return {"twice": Twice, "own_freeze": OwnFreeze}[self.cell.method]()


def test_unknown_operation_is_named():
    with pytest.raises(UnknownOperator, match=r"bench_tests\.twice"):
        values_of(flops, Given(Cell("twice", 12, 12)))
    with pytest.raises(UnknownOperator, match=r"aten\.lgamma"):
        count(torch.empty(3, device="meta").lgamma)
    with pytest.raises(UnknownOperator, match=r"aten\.sin\.default"):  # a known name with arguments that its formula does not cover
        count(torch.empty(3, dtype=torch.complex64, device="meta").sin)
