"""The properties metric on operators with known errors: circular, zero-padded, position-dependent, imprecise."""

import math

import pytest
import torch
from torch import nn

import methods
from bench import columns, metrics
from bench.columns import METRICS
from bench.executors import admission
from bench.metrics import _shifts
from bench.metrics.properties import HIGHEST, measure, smooth
from bench.spec import Cell, Job, Limits, Protocol
from bench.workload.build import Workload
from methods import Unsupported, registry

ROUNDING = 1e-5
SHIPPED = [entry for entry in methods.catalogue() if not entry.needs_kernel]


class Plain(nn.Module):
    """A test operator with the registry's arguments and one weight."""

    def __init__(self, channels, resolution):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))


class Identity(Plain):
    def forward(self, x):
        return x * self.weight


class Biased(Plain):
    def forward(self, x):
        return x * self.weight + 1000


class Placed(Plain):
    """Scales each column by its position."""

    def forward(self, x):
        return x * self.weight * torch.linspace(1, 2, x.shape[-1], dtype=x.dtype)


class Cross(Plain):
    """Adds the next pixel to the right, with circular padding."""

    def forward(self, x):
        return (x + x.roll(-1, -1)) * self.weight


class Coarse(Plain):
    """Exact only in float64: in float32 one value is wrong by a tenth of the largest."""

    def forward(self, x):
        y = x * self.weight
        if x.dtype != torch.float64:
            y = y.clone()
            y[0, 0, 0, 0] += 0.1 * x.abs().max()
        return y


class Single(Plain):
    """Does not support float64."""

    def forward(self, x):
        return x.float() * self.weight.float()


class Stubborn(Plain):
    """Supports only one size."""

    def __init__(self, channels, resolution):
        super().__init__(channels, resolution)
        self.size = resolution

    def forward(self, x):
        if tuple(x.shape[-2:]) != self.size:
            raise ValueError("only one size")
        return x * self.weight


@pytest.fixture
def values(monkeypatch):
    """Return a function that measures an operator class, or a method by name."""

    def measured(what, size=(16, 16), **cell):
        name = what if isinstance(what, str) else "planted"
        if name == "planted":
            monkeypatch.setitem(registry._REGISTRY, name, registry.Method(name, what, ""))
        return outcome(Workload(Cell(name, *size, **{"channels": 3, **cell}))).values

    return measured


def outcome(workload):
    measuring = measure(workload, Protocol())
    next(measuring)
    with pytest.raises(StopIteration) as end:
        next(measuring)
    return end.value.value


def test_identity_has_no_errors(values):
    found = values(Identity)
    assert list(found) == columns.columns_of("properties")
    assert [found[name] for name in columns.columns_of("properties")[:5]] == [0, 0, 0, 0, 0]
    assert found["properties_why"] is None


def test_bias_does_not_hide_an_error(values):
    """With a bias of 1000 the output is 1000 times as large as the response, but the error is relative to the response."""
    assert values(Biased)["shift_error_circular"] < 1e-4

    class PlacedBiased(Placed):
        def forward(self, x):
            return super().forward(x) + 1000

    plain, biased = values(Placed)["shift_error_circular"], values(PlacedBiased)["shift_error_circular"]
    assert biased == pytest.approx(plain, rel=1e-3)


def test_position_dependence_is_detected_by_both_shifts(values):
    found = values(Placed)
    assert found["shift_error_circular"] > 0.05
    assert found["shift_error_zero"] > 0.01


def test_error_of_a_shift_by_definition(values):
    """For a response m(j) x(j) with column j, the squared error of a shift by s is the mean of (m(j) - m(j - s))^2 x^2."""
    x = torch.ones(1, 1, 16, 16)
    slope = torch.linspace(1, 2, 16)
    wanted = [0.0] * 5
    for place, (_, s) in enumerate(((1, 0), (0, -1), (2, 3), (8, 8), (-5, 4))):
        wanted[place] = float(((slope - slope.roll(s)) ** 2).sum() / (slope**2).sum())
    assert _shifts.circular(lambda image: image * slope, x) == pytest.approx(math.sqrt(sum(wanted) / 5), rel=1e-5)


def test_circular_operator_fails_shifts_with_zeros(values):
    """Of the four shifts, only that to the left border lets values re-enter, at the right border."""
    found = values(Cross)
    assert found["shift_error_circular"] < ROUNDING
    # the response to the line at column 0 has an equal copy in the last column, which the shifted response does not have
    assert found["shift_error_zero"] == pytest.approx(math.sqrt(1 / 4), rel=1e-5)


@pytest.mark.parametrize("size", [(16, 16), (15, 12)])
@pytest.mark.parametrize("name", ["conv3", "dwconv7", "dwconv13", "dwconv_fft[7]", "dwconv_full"])
def test_zero_padded_convolutions_are_equivariant_to_shifts_with_zeros_only(values, name, size):
    bare, _, kernel = name.partition("[")
    found = values(bare, size, kernel=int(kernel[:-1]) if kernel else None)
    assert found["shift_error_zero"] < ROUNDING
    assert found["shift_error_circular"] > 0.1


@pytest.mark.parametrize("size", [(16, 16), (15, 12)])
@pytest.mark.parametrize("name", ["niff", "niff_full", "global_filter"])
def test_circular_filters_are_equivariant_to_circular_shifts_only(values, name, size):
    found = values(name, size)
    assert found["shift_error_circular"] < ROUNDING
    assert found["shift_error_zero"] > 0.1


def test_zero_padded_niff_is_equivariant_to_shifts_with_zeros(values):
    found = values("niff", params=(("boundary", "zero"),))
    assert found["shift_error_zero"] < ROUNDING < found["shift_error_circular"]


def test_shifted_lines_stay_inside():
    x = torch.randn(1, 2, 9, 24)
    found = list(_shifts.lines(x))
    assert sorted({move for _, move in found}) == [(-3, -1), (-1, -2), (1, -2), (1, -1)]
    for line, move in found:
        assert line.count_nonzero() in (2 * 9, 2 * 24)
        assert _shifts.shifted(line, *move).count_nonzero() == line.count_nonzero(), "lost"
        beyond = (1 if move[0] > 0 else -1, move[1])
        assert _shifts.shifted(_shifts.shifted(line, *move), *beyond).count_nonzero() == 0, "not at the border"


def test_error_in_float32_is_detected(values):
    found = values(Coarse)
    assert found["error_fp64"] == pytest.approx(0.1, rel=1e-3)
    assert 0 < found["error_fp64_rms"] < 0.02
    assert found["shift_error_circular"] > 1e-4


def test_operator_without_float64_has_a_reason(values):
    found = values(Single)
    assert found["error_fp64"] is None and found["error_fp64_rms"] is None
    assert found["properties_why"] == "error_fp64: the operator returns torch.float32 for float64 input"
    assert found["resolution_error"] == 0


def test_expensive_reference_is_not_run(values, monkeypatch):
    monkeypatch.setattr("bench.metrics.properties.REFERENCE_FLOPS", 10)
    found = values("conv3")
    assert found["error_fp64"] is None and "FLOP on the CPU" in found["properties_why"]


def test_operator_of_one_size_has_a_reason(values):
    found = values(Stubborn)
    assert found["resolution_error"] is None and found["resolution_way"] is None
    assert "only one size" in found["properties_why"]
    assert found["shift_error_circular"] == 0


def test_half_precision_has_a_larger_error(values):
    single, half = values("dwconv7")["error_fp64"], values("dwconv7", dtype="bf16")["error_fp64"]
    assert single < 1e-5 < 1e-3 < half < 3e-2


def test_smooth_image_is_the_same_at_every_resolution():
    waves = torch.randn(2, 2 * HIGHEST + 1, 2 * HIGHEST + 1, generator=torch.Generator().manual_seed(1))
    small, large = smooth(waves, 15, 20), smooth(waves, 30, 40)
    torch.testing.assert_close(large[..., ::2, ::2], small, rtol=0, atol=1e-5)
    spectrum = torch.fft.fft2(large.double())[0, 0].abs()
    high = torch.fft.fftfreq(30).abs() * 30 > HIGHEST + 1.5
    assert spectrum[high].max() < 1e-5 * spectrum.max(), "frequencies that the smaller size would alias"
    assert small[..., 0, :].abs().max() == 0 == small[..., 0].abs().max()


def test_frequency_filters_are_consistent_across_resolutions_and_pixel_kernels_are_not(values):
    """NIFF's spectrum is a function of cycles per map and a stored spectrum can be; a kernel of pixels becomes half as wide."""
    assert values("niff")["resolution_error"] < ROUNDING
    found = values("global_filter")
    assert (found["resolution_way"], found["resolution_error"] < ROUNDING) == ("pad_spectrum", True)
    assert values("global_filter", params=(("resize", "bicubic"),))["resolution_error"] > 0.1
    assert values("dwconv7")["resolution_error"] > 0.3


def test_flexconv_keeps_its_field_of_view(values):
    """Its kernel is rescaled. With low initial frequencies it is nearly the same filter in the field of view."""
    options = (("omega", 1.0), ("sigma", 0.25))
    found = values("flexconv", (32, 32), params=options)
    assert found["resolution_way"] == "rescaled"
    assert found["resolution_error"] < 0.1


@pytest.mark.parametrize("name", [entry.name for entry in SHIPPED])
def test_every_method_is_measured(values, name):
    found = values(name, channels=8)
    figures = [found[column] for column in columns.columns_of("properties")[:5]]
    assert all(figure is not None and 0 <= figure < 10 for figure in figures)
    assert found["error_fp64"] < 1e-5
    assert found["properties_why"] is None


def test_training_mode_is_measured(values):
    found = values("dwconv13", mode="train")
    assert found["shift_error_zero"] < ROUNDING and found["error_fp64"] < 1e-5


def test_one_image_is_used_for_any_batch(values):
    assert values("dwconv3", batch=7) == values("dwconv3")


def test_network_is_unsupported():
    with pytest.raises(Unsupported, match="operator"):
        next(measure(Workload(Cell("niff", 16, 16, level="model", network="mixer")), Protocol()))


def test_metric_runs_only_if_requested_by_name():
    assert "properties" in columns.METRICS and "properties" not in columns.DEFAULT_METRICS
    assert metrics.get("properties") is measure


def test_admission_uses_twice_the_resolution():
    job = Job(Cell("dwconv31_direct", 56, 56, channels=16, batch=8), "properties")
    with pytest.raises(admission.Skipped) as skip:
        admission.admit(Workload(job.cell), job, Limits(memory=1000))
    assert skip.value.prediction["predicted_bytes"] > 2 * 4 * 16 * 112 * 112
    assert admission.job_seconds(0.1, job) == pytest.approx(0.1 * METRICS["properties"].calls)
