"""Peak memory against operators whose allocations are known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench import columns
from bench.metrics.memory import cpu_peak, measure
from bench.spec import Cell, Protocol
from bench.subject import Subject, WrongResult
from methods.spectral import linear_size


def relu(x):
    return x.relu()


def three_maps(x):
    """Holds two maps while it makes the third."""
    a = x.relu()
    b = a.neg()
    return a * b


def one_after_the_other(x):
    x.neg()
    return x.relu()


def in_place(x):
    return x.relu_()


def infinite(x):
    return x / torch.zeros_like(x)


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Given(Subject):
    """Any function of this file in the place of a method."""

    def operator(self, channels, resolution):
        return Function(globals()[self.cell.method])


def ratio(name, size=(32, 32), **settings):
    cell = Cell(name, *size, channels=16, **settings)
    rounds = measure((Given if name in globals() else Subject)(cell), Protocol())
    next(rounds)
    with pytest.raises(StopIteration) as end:
        next(rounds)
    values = end.value.value.values
    assert list(values) == columns.of("memory")
    assert values["mem_peak_bytes"] == values["mem_input_ratio"] * cell.batch * 16 * size[0] * size[1] * 4
    return values["mem_input_ratio"]


@pytest.mark.parametrize(("name", "maps"), [("relu", 1), ("three_maps", 3), ("one_after_the_other", 1)])
@pytest.mark.parametrize("batch", [1, 3])
def test_known_allocations(name, maps, batch):
    assert ratio(name, batch=batch) == maps


def test_training_holds_output_and_gradient():
    assert ratio("relu", mode="train") == 2


def test_scratch_inside_an_operator_is_seen():
    """torch's depthwise convolution holds copies in another layout beside its output."""
    assert 1.5 < ratio("dwconv7") < 4


def test_a_transformed_convolution_holds_padded_map_and_spectrum():
    """At least the two at once; the inverse transform works on copies of the spectrum. The frozen kernel is not in it."""
    height, width = linear_size((32, 32), (31, 31))
    padded, spectrum = height * width / 32**2, 2 * height * (width // 2 + 1) / 32**2
    assert padded + spectrum <= ratio("dwconv31", batch=8) <= padded + 3 * spectrum + 0.01


def test_a_training_call_needs_more():
    assert ratio("dwconv31", mode="train") > ratio("dwconv31")


def test_the_same_call_reads_the_same_twice():
    assert ratio("niff") == ratio("niff")


def test_only_the_call_is_seen():
    before = torch.zeros(1000)
    assert cpu_peak(lambda: torch.cat([before, before])) == 8000


def test_a_call_without_allocation_is_not_zero():
    with pytest.raises(RuntimeError, match="no allocation"):
        ratio("in_place")


def test_a_wrong_result_is_not_measured():
    with pytest.raises(WrongResult, match="finite"):
        ratio("infinite")
