"""The FLOP metric: every method against its own closed form, the columns, and operators without a formula."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import methods
from bench import columns, contract
from bench.metrics.flop_formulas import taps_inside
from bench.metrics.flops import UnknownOperator, count, count_kept, kernel_making, measure, operator, steady
from bench.spec import Cell, Protocol
from bench.subject import Subject
from methods.conv import Conv
from methods.cost import rfft2_flops

CONV_METHODS = ["conv3", "conv7", "dwconv3", "dwconv7", "dwconv13", "dwconv31", "dwconv51", "dwconv_full"]
CLOSED_FORMS = [name for name in methods.names() if hasattr(methods.get(name).cls, "flops")]
SIZES = [*contract.SIZES, (28, 28)]
# Paths that the defaults do not take at these sizes.
OPTIONS = {
    "dwconv": {"backend": "fft"},
    "niff": {"boundary": "zero"},
    "flexconv": {"sigma": 0.5},
    "flexconv_dw": {"sigma": 0.5},
    "afno": {"fraction": 0.5},
    "shared_basis": {"shared_rank": 16, "unique_rank": 8},
}


def subject_of(name, size=(12, 12), channels=contract.CHANNELS, **settings):
    kernel = contract.KERNEL if methods.get(name).entry.needs_kernel else None
    return Subject(Cell(name, *size, channels, kernel=kernel, **settings))


def values_of(subject):
    rounds = measure(subject, Protocol())
    next(rounds)
    with pytest.raises(StopIteration) as end:
        next(rounds)
    return end.value.value.values


def check_closed_form(subject):
    """What runs is what the method's own formula says: the frozen forward, and the kernel that it keeps."""
    module, x = operator(subject), torch.empty(subject.shape(), device="meta")
    with torch.no_grad():
        stated = module.flops(*x.shape[2:])
        kernel, first = count_kept(module, lambda: module(x))
    apply = steady(subject)
    assert (kernel.structural, apply.structural) == (stated.kernel, stated.apply)
    assert first == kernel + apply


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_closed_form_of_a_method(name, size):
    check_closed_form(subject_of(name, size))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("name", "options"), OPTIONS.items(), ids=OPTIONS)
def test_closed_form_on_other_paths(name, options, size):
    check_closed_form(subject_of(name, size, params=tuple(options.items())))


@pytest.mark.parametrize("name", CONV_METHODS)
def test_backward_of_a_convolution_is_twice_its_forward(name):
    forward, step = (steady(subject_of(name, mode=mode), "direct") for mode in ("infer", "train"))
    assert step.linear == 3 * forward.linear
    assert step.inside == 3 * forward.inside


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
@pytest.mark.parametrize("name", [*CONV_METHODS, "shared_basis"])
def test_gmacs_are_those_of_fvcore(name):
    from fvcore.nn import FlopCountAnalysis

    subject = subject_of(name, (13, 16))
    module = subject.build("cpu")
    module.backend = "direct"
    if isinstance(module, Conv):
        module.conv.padding = (module.conv.kernel_size[0] // 2,) * 2  # fvcore does not know "same" and counts 0
    x = torch.zeros(subject.shape())
    with torch.no_grad():
        module(x)  # freezes
        theirs = FlopCountAnalysis(module, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        assert values_of(subject)["gmacs"] == theirs.total() / 1e9


def test_columns_of_the_metric():
    assert list(values_of(subject_of("dwconv7"))) == columns.of("flops")


def test_values_of_a_transformed_convolution():
    """dwconv31 at 56 x 56: transforms of 72 x 72, of the map forward and back and of the kernel."""
    one, points, maps = rfft2_flops(72, 72), 72 * 37, 2 * 64 * 56 * 56
    values = values_of(subject_of("dwconv31", (56, 56), 64, batch=2))
    assert values["flops"] == 128 * (2 * one + 6 * points) + maps  # the bias
    assert values["flops_fft"] == 128 * 2 * one
    assert values["flops_kernel"] == 64 * one
    assert values["kernel_share"] == 64 * one / (64 * one + values["flops"])
    assert values["gmacs"] == maps * 31**2 / 1e9
    assert values["flops_eff"] == 2 * 2 * 64 * taps_inside(56, 56, 31, padding=15) ** 2 + maps
    assert values["sfu_ops"] == 0


def test_a_training_call_holds_three_forwards():
    """The convolution's backward in Fourier space is as long as its forward twice: map and kernel, there and back."""
    values = values_of(subject_of("dwconv31", (56, 56), 64, mode="train"))
    one = rfft2_flops(72, 72)
    assert values["flops_fft"] == 64 * 6 * one
    assert values["flops_kernel"] == 64 * one
    assert values["gmacs"] == values_of(subject_of("dwconv31", (56, 56), 64))["gmacs"]


def test_the_path_of_the_cells_device_is_counted():
    assert values_of(subject_of("dwconv31", device="cpu"))["flops_fft"] > 0
    assert values_of(subject_of("dwconv31", device="cuda:0", dtype="bf16"))["flops_fft"] == 0


def test_precision_changes_nothing():
    assert values_of(subject_of("dwconv31", mode="train")) == values_of(subject_of("dwconv31", mode="train", dtype="bf16"))


def test_a_kernel_that_training_does_not_make_is_not_counted_there():
    """The shared basis folds its normalisation for inference alone."""
    assert kernel_making(subject_of("shared_basis"))[0] > 0
    assert kernel_making(subject_of("shared_basis", mode="train")) == (0, 0.0)


def test_a_freeze_that_cannot_be_seen_into_gives_null():
    values = values_of(Given(Cell("own_freeze", 12, 12, channels=16)))
    assert values["flops_kernel"] is None and values["kernel_share"] is None
    assert (values["flops"], values["sfu_ops"]) == (0, 16 * 144)


def test_counting_needs_no_memory():
    subject = subject_of("dwconv_full", (2048, 2048), 256, batch=8, mode="train")
    assert steady(subject).fft == 256 * (2 * 8 + 1) * 2 * rfft2_flops(3072, 3072)


@torch.library.custom_op("bench_tests::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return x * 2


twice.register_fake(torch.empty_like)


class Twice(nn.Module):
    """Uses an operator that no table has."""

    def forward(self, x):
        return twice(x)


class OwnFreeze(nn.Module):
    """Freezes without `kept`."""

    def freeze(self):
        return self

    def forward(self, x):
        return x.exp()


class Given(Subject):
    """Any module in the place of a method."""

    def operator(self, channels, resolution):
        return {"twice": Twice, "own_freeze": OwnFreeze}[self.cell.method]()


def test_an_unknown_operator_is_named():
    with pytest.raises(UnknownOperator, match=r"bench_tests\.twice"):
        values_of(Given(Cell("twice", 12, 12)))
    with pytest.raises(UnknownOperator, match=r"aten\.lgamma"):
        count(torch.empty(3, device="meta").lgamma)
    with pytest.raises(UnknownOperator, match=r"aten\.sin\.default"):  # a known name with arguments that its formula does not cover
        count(torch.empty(3, dtype=torch.complex64, device="meta").sin)
