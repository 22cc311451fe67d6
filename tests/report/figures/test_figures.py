"""Figures agree with the table, and outdated ones are deleted."""

from dataclasses import replace

import numpy as np
import pytest

import methods
from bench.report import figures, style
from bench.report.figures import canvas, fit, frames, kernels, pareto, reach, relative, roofline, scaling, winners
from bench.tables.cells import complete_rows
from tests.report.figures.helpers import journal_of, latency, other, training


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Return a function that draws records, in all kinds of figures or only one, and returns the figures by file name."""
    modules = kernels, pareto, reach, relative, roofline, scaling, winners

    def draw(*records, only=None):
        by_name = {}
        (tmp_path / "figures").mkdir(exist_ok=True)

        def collect(figure, folder, name):
            by_name[name] = figure
            return []

        monkeypatch.setattr(figures, "save", collect)
        for module in modules:
            if only not in (None, module):
                monkeypatch.setattr(module, "draw", lambda *_: iter(()))
        journal = journal_of(tmp_path, *records)
        figures.draw(journal, complete_rows(journal), tmp_path / "figures")
        return by_name

    return draw


def entries(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def note(figure):
    return " ".join(figure.get_supxlabel().split())


def test_exponent_of_a_power_law():
    x = [14, 28, 56, 112]
    assert fit.exponent(x, [3 * value**1.7 for value in x]) == pytest.approx((1.7, 1.7, 1.7))
    assert fit.text(fit.exponent(x, [3 * value**1.7 for value in x])) == "1.70 ±0.00"


def test_interval_of_an_exponent_equals_regression_of_logarithms():
    x, y = [8, 16, 24, 64, 100], [1.0, 5.0, 4.0, 40.0, 60.0]
    line, covariance = np.polyfit(np.log(x), np.log(y), 1, cov=True)
    half = 3.182 * covariance[0, 0] ** 0.5  # Student's t of three degrees of freedom
    assert fit.exponent(x, y) == pytest.approx((line[0], line[0] - half, line[0] + half), rel=1e-3)


def test_exponent_of_two_points_has_no_interval():
    assert fit.exponent([10, 20], [1, 8])[0] == pytest.approx(3)
    assert fit.text(fit.exponent([10, 20], [1, 8])) == "3.00"
    assert fit.text(fit.exponent([10], [1])) == ""


def test_latency_over_resolution_has_points_bars_exponents_and_failures(drawn):
    ran = [latency("niff", size**2 / 100, size) for size in (14, 28, 56)]
    by_name = drawn(
        *ran, latency("dwconv7", 1.0, 14), latency("dwconv7", 2.0, 28), latency("dwconv7", 0, 56, "timeout"), only=scaling
    )
    figure = by_name["latency-resolution_cpu_1-thread_fp32_infer_b1_c64"]
    (axes,) = figure.axes
    assert entries(axes) == ["niff  2.00 ±0.00", "dwconv7  1.00"]
    assert {tuple(line.get_xdata()) for line in axes.lines} == {(14, 28, 56), (14, 28)}
    bars = {tuple(segment[:, 1]) for bar in axes.collections for segment in bar.get_segments()}
    assert (0.9 * 14**2 / 100, 1.1 * 14**2 / 100) in bars
    assert "Not shown: dwconv7 at 56 px (timeout)." in note(figure)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("side of the map, px", "latency per call, ms")
    assert "memory-resolution_cpu_1-thread_fp32_infer_b1_c64" not in by_name


def test_memory_over_channels(drawn):
    records = [other("memory", "niff", mem_peak_bytes=4e6), other("memory", "dwconv7", mem_peak_bytes=2e6)]
    wide = [replace(record, job=replace(record.job, cell=replace(record.job.cell, channels=128))) for record in records]
    figure = drawn(*records, *wide, only=scaling)["memory-channels_cpu_1-thread_fp32_infer_b1_56x56px"]
    assert entries(figure.axes[0]) == ["niff  0.00", "dwconv7  0.00"]
    assert {tuple(line.get_ydata()) for line in figure.axes[0].lines} == {(4, 4), (2, 2)}


def test_many_methods_are_split_into_panels(drawn):
    names = [entry.name for entry in methods.catalogue()][::2]
    records = [latency(name, number + size, size) for number, name in enumerate(names) for size in (28, 56)]
    figure = drawn(*records, only=scaling)["latency-resolution_cpu_1-thread_fp32_infer_b1_c64"]
    shown = [entry.partition("  ")[0] for axes in figure.axes for entry in entries(axes)]
    assert sorted(shown) == sorted(names)
    assert max(len(entries(axes)) for axes in figure.axes) <= frames.MAX_LINES
    for axes in figure.axes:  # the others in grey
        assert len(axes.lines) == len(names)
        assert sum(line.get_color() == canvas.GREY for line in axes.lines) == len(names) - len(entries(axes))


def test_crossover_is_shaded_between_significant_sizes(drawn):
    direct = [latency("dwconv_direct", k**2 / 100, kernel=k) for k in (3, 7, 13, 31)]
    fourier = [latency("dwconv_fft", 1.0, kernel=k) for k in (3, 7, 13, 31)]
    by_name = drawn(*direct, *fourier)
    assert set(by_name) == {"crossover_cpu_1-thread_fp32_infer_b1_c64"}
    (axes,) = by_name.popitem()[1].axes
    assert axes.get_title(loc="left") == "56 px: direct until 7, Fourier from 13 px"
    (shade,) = axes.patches
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == (7, 13)


def test_roofline_position_of_a_cell(drawn):
    """Input and output of 64 x 56 x 56 without weights: 2 * 4 * 64 * 56^2 bytes; 1e9 operations in 20 ms: 50 GFLOP/s."""
    counts = {"flops": 2e9, "flops_eff": 1e9, "flops_fft": 0, "weights_bytes": 0, "op_count": 1}
    records = [latency("niff", 20.0), other("flops", "niff", **counts), other("params", "niff", params_count=0)]
    (axes,) = drawn(*records, only=roofline)["roofline_cpu_1-thread_fp32_infer_b1_c64"].axes
    (point,) = [line for line in axes.lines if line.get_color() == style.FAMILIES["niff"]]
    assert point.get_xydata()[0] == pytest.approx([1e9 / (8 * 64 * 56**2), 50])
    assert entries(axes) == ["niff  50%"]  # of 100 GFLOP/s for products
    assert {text.get_text() for text in axes.texts} >= {"products, 100 GFLOP/s", "transforms, 50.0 GFLOP/s"}


def test_pareto_front_and_trivial_accuracy_are_drawn(drawn):
    trained = {"dwconv3": (60, 61, 62), "niff": (98, 99, 100), "dwconv7": (97, 97, 97)}
    records = [record for name, seeds in trained.items() for record in training(name, "farpair", *seeds)]
    figure = drawn(*records, latency("dwconv3", 1.0), latency("niff", 2.0), latency("dwconv7", 3.0), only=pareto)[
        "pareto_cpu_1-thread_fp32_infer_b1_c64_56x56px"
    ]
    (axes,) = figure.axes
    assert entries(axes) == ["◆ niff", "dwconv7", "◆ dwconv3"]
    assert "trivial: chance" in [text.get_text() for text in axes.texts]
    (front,) = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    assert front.get_xydata().tolist() == [[1, 61], [2, 99]]


def test_tiles_name_the_winner_and_tied_methods(drawn):
    fast = [latency("dwconv3", 1.0, size, channels=c) for size in (28, 56) for c in (16, 64)]
    tied = [latency("dwconv7", 1.001 if size == 28 else 2.0, size, channels=c) for size in (28, 56) for c in (16, 64)]
    failed = latency("niff", 0, 28, "oom", channels=16)
    figure = drawn(*fast, *tied, failed, only=winners)["winners_cpu_1-thread_fp32_infer_b1"]
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert sorted(filter(None, texts)) == ["dwconv3"] * 4 + ["dwconv7"] * 2
    assert "niff at 28 px, 16 channels (oom)" in note(figure)


def test_speedups_and_statuses_of_failures_are_shown(drawn):
    records = [latency("dwconv7", 2.0, size) for size in (28, 56)] + [latency("niff", 1.0, 28), latency("niff", 0, 56, "oom")]
    (axes,) = drawn(*records, only=relative)["relative_cpu_1-thread_fp32_infer_b1"].axes
    assert [text.get_text() for text in axes.texts] == ["1.00", "1.00", "2.00", "oom"]


def test_effective_reach_and_failures_are_shown(drawn):
    accuracies = {6: {"niff": (99, 99), "dwconv3": (99, 99)}, 12: {"niff": (99, 98), "dwconv3": (50, 52)}}
    records = [
        record
        for distance, by_method in accuracies.items()
        for name, seeds in by_method.items()
        for record in training(name, f"farpair[distance={distance}]", *seeds)
    ]
    failed = training("afno", "farpair[distance=12]", 0, status="timeout")
    figure = drawn(*records, *failed, only=reach)["reach_farpair_16px"]
    assert sorted(entries(figure.axes[0])) == ["dwconv3  6", "niff  12+"]
    assert "Not shown: afno at 12 px (timeout)." in note(figure)


def test_one_setting_gives_no_figure(drawn):
    assert drawn(latency("niff", 1.0), latency("dwconv7", 2.0), other("memory", "niff", mem_peak_bytes=1.0)) == {}


def test_two_environments_have_different_titles(drawn):
    first = [latency(name, size, size) for name in ("niff", "dwconv7") for size in (28, 56)]
    second = [replace(record, env="e2", job=replace(record.job, code="d")) for record in first]
    titles = {name: figure.get_suptitle() for name, figure in drawn(*first, *second, only=relative).items()}
    setting = "cpu, 1 thread, fp32, inference, batch 1"
    assert titles == {f"relative_cpu_1-thread_fp32_infer_b1_{env}": f"{setting}, environment {env}" for env in ("e1", "e2")}


def test_environment_without_rows_is_ignored(drawn):
    records = [latency(name, size, size) for name in ("niff", "dwconv7") for size in (28, 56)]
    assert list(drawn(*records, only=relative)) == ["relative_cpu_1-thread_fp32_infer_b1"]
