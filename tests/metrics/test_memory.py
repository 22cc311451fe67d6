"""Memory metrics of operators with known allocations."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.autograd.profiler import profile

import methods
from bench import columns
from bench.executors.process import Pool
from bench.metrics.memory import cpu_peak, measure, saved_bytes
from bench.spec import Cell, Job, Limits, Protocol
from bench.system import resident_memory
from bench.workload.build import Workload, WrongResult
from methods import contract
from methods.parts.spectral import filter_depthwise, linear_size

linux = pytest.mark.skipif(sys.platform != "linux", reason="the resident peak is read from Linux's /proc")
MB = 2**20


def relu(x):
    return x.relu()


def three_maps(x):
    """Return the sum of maps, with two alive while the third is computed."""
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


class Filter(nn.Module):
    """A learned spectrum per channel, for 16 channels."""

    def __init__(self, size=(32, 32)):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(16, size[0], size[1] // 2 + 1, 2))

    def forward(self, x):
        return filter_depthwise(x, torch.view_as_complex(self.weight))


class Given(Workload):
    """Any function of this file as the operator."""

    def operator(self, channels, resolution):
        return Function(globals()[self.cell.method])


def values_of(name, size=(32, 32), **settings):
    cell = Cell(name, *size, channels=16, **settings)
    rounds = measure((Given if name in globals() else Workload)(cell), Protocol())
    next(rounds)
    with pytest.raises(StopIteration) as end:
        next(rounds)
    values = end.value.value.values
    assert list(values) == columns.columns_of("memory")
    assert values["mem_peak_bytes"] == values["mem_input_ratio"] * cell.batch * 16 * size[0] * size[1] * 4
    return values


def ratio(name, size=(32, 32), **settings):
    return values_of(name, size, **settings)["mem_input_ratio"]


@pytest.mark.parametrize(("name", "maps"), [("relu", 1), ("three_maps", 3), ("one_after_the_other", 1)])
@pytest.mark.parametrize("batch", [1, 3])
def test_known_allocations(name, maps, batch):
    assert ratio(name, batch=batch) == maps


def test_training_holds_output_and_gradient():
    assert ratio("relu", mode="train") == 2


def test_workspace_inside_an_operator_is_included():
    """torch's depthwise convolution allocates copies in another layout in addition to its output."""
    assert 1.5 < ratio("dwconv7") < 4


def test_fourier_convolution_allocates_padded_map_and_spectrum():
    """Both are live at once, and the inverse transform copies the spectrum. The frozen kernel is excluded."""
    height, width = linear_size((32, 32), (31, 31))
    padded, spectrum = height * width / 32**2, 2 * height * (width // 2 + 1) / 32**2
    assert padded + spectrum <= ratio("dwconv31", batch=8) <= padded + 3 * spectrum + 0.01


def test_training_call_needs_more():
    assert ratio("dwconv31", mode="train") > ratio("dwconv31")


def test_measurement_is_repeatable():
    assert ratio("niff") == ratio("niff")


def test_only_the_call_is_measured():
    before = torch.zeros(1000)
    assert cpu_peak(lambda: torch.cat([before, before])) == 8000


def test_call_without_allocation_is_an_error():
    with pytest.raises(RuntimeError, match="no allocation"):
        ratio("in_place")


def test_wrong_result_is_not_measured():
    with pytest.raises(WrongResult, match="finite"):
        ratio("infinite")


# --- what autograd saves ---

MAP, SPECTRUM = 2 * 16 * 32 * 32 * 4, 2 * 16 * 32 * 17 * 8
SAVED = {
    "convolution": (lambda: nn.Conv2d(16, 16, 3, padding=1), MAP),  # its input; the weight is excluded
    "relu": (nn.ReLU, MAP),  # its output
    "sigmoid_of_relu": (lambda: nn.Sequential(nn.ReLU(), nn.Sigmoid()), 2 * MAP),
    "scaling": (lambda: Function(lambda x: x * 2), 0),
    "a_storage_counts_once": (lambda: Function(lambda x: x[:, :8] * x[:, 8:]), MAP),
    "batch_norm": (lambda: nn.BatchNorm2d(16), MAP + 2 * 16 * 4),  # its input, mean and deviation; running statistics are buffers
    "fourier_filter": (Filter, SPECTRUM),  # the image's spectrum; the filter's is a view of the weight
}


@pytest.mark.parametrize(("make", "expected"), SAVED.values(), ids=SAVED)
def test_saved_bytes_by_hand(make, expected):
    module, x = make(), torch.randn(2, 16, 32, 32, requires_grad=True)
    step = lambda: torch.autograd.grad(module(x).sum(), x)  # noqa: E731
    assert saved_bytes(step, module) == expected


def test_saved_bytes_are_measured_in_training_only():
    assert values_of("conv3", batch=2, mode="train")["mem_saved_bytes"] == MAP
    assert values_of("conv3", batch=2)["mem_saved_bytes"] is None


def held_by_the_allocator(forward):
    with profile(use_kineto=True, profile_memory=True) as profiler:
        y = forward()
    return y, sum(event.nbytes() for event in profiler.kineto_results.events() if event.name() == "[memory]")


@pytest.mark.parametrize("name", methods.names())
def test_saved_bytes_agree_with_the_allocator(name):
    """The bytes seen by autograd's hooks, plus the output, equal the bytes still allocated after the forward."""
    kernel = contract.KERNEL if methods.get(name).entry.needs_kernel else None
    workload = Workload(Cell(name, 24, 24, channels=16, kernel=kernel, mode="train"))
    module, x = workload.module, workload.inputs().requires_grad_()
    storages = {}

    def pack(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor.detach()

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        y = module(x)
    storages[y.untyped_storage().data_ptr()] = y.untyped_storage()
    for existing in (x, *module.parameters(), *module.buffers()):
        storages.pop(existing.untyped_storage().data_ptr(), None)
    _, held = held_by_the_allocator(lambda: module(x))
    assert held == pytest.approx(sum(storage.nbytes() for storage in storages.values()), abs=100)  # saved numbers


# --- growth of the process ---


@linux
def test_growth_of_the_process_counts_touched_pages():
    x = torch.randn(4 * MB)
    assert resident_memory.rss_growth(x.relu) == pytest.approx(16 * MB, rel=0.1)
    assert resident_memory.rss_growth(lambda: three_maps(x)) == pytest.approx(3 * 16 * MB, rel=0.1)
    assert resident_memory.rss_growth(lambda: one_after_the_other(x)) == pytest.approx(16 * MB, rel=0.1)  # the first is freed
    assert resident_memory.rss_growth(lambda: torch.empty(16 * MB)) is None  # allocated but never touched: below the resolution


@linux
def test_free_heap_memory_is_not_counted_as_resident():
    """Freed small blocks below a live one are not returned to the system automatically."""
    stays = []

    def step():
        blocks = [b"%d" % i * 2**15 for i in range(10, 74)]
        stays.append(b"x" * 2**16)
        return blocks

    assert resident_memory.rss_growth(step) == pytest.approx(4 * MB, rel=0.15)


@linux
def test_growth_of_the_process_includes_other_allocators():
    x = torch.zeros(1000)

    def step():
        np.ones(2 * MB)
        return x.neg()

    assert cpu_peak(step) == 4000
    assert resident_memory.rss_growth(step) == pytest.approx(16 * MB, rel=0.1)


def test_growth_of_the_process_is_null_if_the_peak_cannot_be_reset(monkeypatch):
    monkeypatch.setattr(resident_memory, "CLEAR_REFS", Path("/nonexistent/clear_refs"))
    assert resident_memory.rss_growth(lambda: None) is None


def test_error_in_the_call_is_raised_and_the_allocator_is_restored(monkeypatch):
    class Libc:
        def __init__(self):
            self.settings = {}

        def mallopt(self, number, value):
            self.settings[number] = value

    monkeypatch.setenv("MALLOC_MMAP_MAX_", "0")
    monkeypatch.delenv("MALLOC_TOP_PAD_", raising=False)
    libc = Libc()
    seen = {}

    def fails():
        seen.update(libc.settings)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), resident_memory.blocks_from_the_system(libc):
        fails()
    assert seen == {-4: 65536, -3: 131072, -2: 131072, -1: 131072}
    assert libc.settings[-4] == 0 and libc.settings[-2] == 131072


@linux
def test_growth_of_a_worker_is_close_to_its_allocators_peak():
    """The tuned heap of a real worker is fragmented; the value is still that of the call."""
    jobs = [Job(Cell("dwconv31", 128, 128, mode=mode), "memory") for mode in ("infer", "train")]
    for record in Pool().execute(jobs, Limits()):
        assert record.status == "ok", record.detail
        assert 0.95 < record.values["mem_rss_bytes"] / record.values["mem_peak_bytes"] < 1.25
