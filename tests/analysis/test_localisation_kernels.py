"""Tests of kernel extraction: the kernel of every operator, centred, for the size of its input map."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import methods
from bench.analysis import kernels
from bench.analysis.localisation.layers import measure_bank
from methods.niff import Niff
from tests.reference import localisation as oracle

CORRELATIONS = {
    "dwconv7": {},
    "conv3": {},
    "dwconv31": {},
    "dwconv_full": {},
    "flexconv": {"sigma": 0.3},
    "flexconv_dw": {"sigma": 0.3},
    "shared_basis": {},
    "global_filter": {},
}
CONVOLUTIONS = {"niff": {}, "niff_full": {}, "niff_big": {}, "niff_split": {}}


def built(name, options, size):
    torch.manual_seed(0)
    return methods.get(name).build(4, size, **options).double().eval()


def response(module, size):
    """Return the response to a unit impulse at the centre of each input channel, minus that to zeros: (I, O, H, W)."""
    images = torch.zeros(4, 4, *size, dtype=torch.float64)
    images[range(4), range(4), size[0] // 2, size[1] // 2] = 1
    with torch.no_grad():
        return (module(images) - module(torch.zeros_like(images))).numpy()


@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
@pytest.mark.parametrize("name", [*CORRELATIONS, *CONVOLUTIONS])
def test_kernels_are_impulse_responses(name, size):
    """Compare on the map: taps outside of it have no effect at its centre, except for a circular filter."""
    module = built(name, CORRELATIONS.get(name, {}), size)
    if name == "flexconv_dw":
        module.pointwise = nn.Identity()
    if name == "niff_split":
        module.mix = nn.Identity()
    outputs = response(module, size)
    bank = kernels.kernel_bank("", module, [size])
    expected = oracle.placed(bank.kernels, size, turned=name in CORRELATIONS)
    depthwise = len(bank.kernels) == 4
    actual = np.stack([outputs[c, c] for c in range(4)]) if depthwise else outputs.transpose(1, 0, 2, 3).reshape(16, *size)
    assert bank.status == "ok"
    assert actual == pytest.approx(expected, abs=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["niff", "niff_full", "niff_big", "global_filter"])
@pytest.mark.parametrize("size", [(8, 8), (9, 9)])
def test_circular_kernels_are_as_large_as_the_map(name, size):
    bank = kernels.kernel_bank("", built(name, {}, size), [size])
    assert bank.kernels.shape[1:] == bank.taps.shape == bank.extent == size
    assert (bank.taps == 1).all()


@pytest.mark.parametrize(("name", "options", "bound"), [("niff", {}, 9), ("niff_full", {}, 17), ("niff", {"hidden": (8, 2)}, 5)])
def test_rank_of_niff_is_that_of_its_network(name, options, bound):
    module = methods.get(name).build(20, 12, **options)
    bank = kernels.kernel_bank("", module, [(12, 12)])
    assert (measure_bank(bank.kernels).rank, bank.rank_bound) == (bound, bound)


def test_rank_of_flexconv_is_that_of_its_kernel_network():
    bank = kernels.kernel_bank("", methods.get("flexconv").build(5, 15, hidden=4, sigma=0.5), [(15, 15)])
    assert (measure_bank(bank.kernels).rank, bank.rank_bound) == (5, 5)


def test_rank_of_a_shared_basis_is_that_of_its_filters():
    bank = kernels.kernel_bank(
        "", methods.get("shared_basis").build(4, 12, kernel_size=7, shared_rank=1, unique_rank=1), [(12, 12)]
    )
    assert (bank.n, measure_bank(bank.kernels).rank, bank.rank_bound) == (16, 8, 8)


def test_kernels_are_cropped_to_the_effective_taps():
    module = methods.get("dwconv31").build(3, 6)
    bank = kernels.kernel_bank("", module, [(6, 8)])
    assert bank.kernels.shape == (3, 11, 15)
    assert (bank.kernels[:, 5, 7] == module.weight[:, 0, 15, 15].detach().numpy()).all()
    assert bank.extent == (11, 15)


def test_strided_dilated_and_even_plain_convolutions():
    strided = nn.Conv2d(3, 8, 7, stride=2, padding=3)
    bank = kernels.kernel_bank("", strided, [(32, 32)])
    assert (bank.n, bank.taps.shape, bank.extent, bank.note) == (24, (7, 7), (32, 32), "stride 2")
    dilated = kernels.kernel_bank("", nn.Conv2d(2, 2, 3, dilation=2, bias=False), [(9, 9)])
    assert dilated.taps.shape == (5, 5)
    assert dilated.taps.sum() == 9
    assert (dilated.kernels[:, 1::2] == 0).all()
    even = kernels.kernel_bank("", nn.Conv2d(2, 2, (2, 1), stride=2), [(9, 9)])
    assert even.taps.tolist() == [[1], [1], [0]]


class Twice(nn.Module):
    """A network with a layer that is used twice, an unused layer, and operators without kernels."""

    def __init__(self):
        super().__init__()
        self.once, self.same = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.pointwise, self.unused = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 5)
        self.afno, self.dynamic = methods.get("afno").build(8, 8), methods.get("dynamic_filter").build(8, 8)

    def forward(self, x):
        x = self.same(self.once(x))
        return self.dynamic(self.afno(self.same(self.pointwise(x[..., ::2, ::2]))))


class Greedy(nn.Module):
    """An operator whose kernel does not fit into memory."""

    def kernel(self):
        raise MemoryError("too large")

    def forward(self, x):
        return x


def test_failing_kernel_is_reported_and_the_others_are_measured():
    network = nn.Sequential(Greedy(), nn.Conv2d(3, 3, 3))
    first, second = kernels.kernel_banks(network, kernels.map_sizes(network, 3, (8, 8)))
    assert (first.layer, first.status, first.reason, len(first.kernels)) == ("0", "oom", "too large", 0)
    assert (second.status, second.n) == ("ok", 9)


def test_every_operator_is_listed_with_its_input_sizes():
    network = Twice()
    sizes = kernels.map_sizes(network, 3, (16, 16))
    assert sizes["same"] == [(16, 16), (8, 8)]
    banks = {bank.layer: bank for bank in kernels.kernel_banks(network, sizes)}
    assert list(banks) == ["once", "same", "unused", "afno", "dynamic"]
    assert {name: bank.status for name, bank in banks.items()} == {
        "once": "ok",
        "same": "ok",
        "unused": "skipped",
        "afno": "unsupported",
        "dynamic": "unsupported",
    }
    assert banks["dynamic"].reason == "its filter depends on the image"
    assert banks["same"].note == "applied to maps of 16x16, 8x8"


def test_kernel_for_another_map_size_has_a_note():
    assert "8x8, for which the layer was built" in kernels.kernel_bank("", Niff(3, 8), [(12, 12)]).note
    assert kernels.kernel_bank("", Niff(3, 8), [(8, 8)]).note == ""


def test_non_finite_kernels_are_an_error():
    module = nn.Conv2d(3, 3, 3)
    module.weight.data[0, 0, 0, 0] = math.nan
    bank = kernels.kernel_bank("", module, [(8, 8)])
    assert (bank.status, bank.reason, len(bank.kernels)) == ("error", "a kernel is not finite", 0)
