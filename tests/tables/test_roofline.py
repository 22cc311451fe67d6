"""Roofline columns against values computed by hand, and the file of peak rates."""

import json

import pytest

from bench import columns
from bench.system import ceilings
from bench.tables import roofline

PEAKS = {
    "copy": {"hot": [[1_000, 1e9], [100_000, 1e8]], "cold": [[1_000, 1e6]]},
    "linear": {"fp32": 1e9, "bf16": 4e9},
    "fft": 1e7,
    "launch_s": 1e-5,
    "failed": {"product bf16 256": "not supported"},
    "started": 1.0,
    "seconds": 12.0,
}
CEILINGS = {"cpu/1": PEAKS}
ROW = {
    **{"level": "op", "batch": 1, "channels": 5, "height": 10, "width": 10, "dtype": "fp32", "mode": "infer", "device": "cpu"},
    **{"threads": 1, "timer": "wall", "latency_ms": 0.5, "weights_bytes": 6_000, "params_count": 70},
    **{"flops": 3e5, "flops_eff": 2e5, "flops_fft": 0.0, "op_count": 2},
}


def columns_of(peaks=PEAKS, **changed):
    return roofline.columns(ROW | changed, peaks)


def test_columns_are_in_the_data_dictionary():
    row = columns_of()
    assert tuple(row) == roofline.COLUMNS
    assert all(columns.column_of(name).metric == "" for name in row)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, 500 * 8 + 6_000),
        ({"dtype": "bf16"}, 500 * 6 + 6_000),
        ({"mode": "train"}, 500 * 16 + 6_000 + 70 * 4),
        ({"mode": "train", "dtype": "bf16"}, 500 * 14 + 6_000 + 70 * 4),
        ({"batch": 3}, 1_500 * 8 + 6_000),
        ({"weights_bytes": None}, None),
        ({"params_count": float("nan")}, None),
        ({"level": "model"}, None),
    ],
)
def test_bytes_min_counts_each_array_once(changed, expected):
    assert columns_of(**changed)["bytes_min"] == expected


@pytest.mark.parametrize(
    ("size", "rate"),
    [(10, 1e9), (1_000, 1e9), (10_000, 10**8.5), (100_000, 1e8), (10**9, 1e8)],
)
def test_bandwidth_is_interpolated_between_sizes_and_constant_outside(size, rate):
    assert roofline.bandwidth(PEAKS["copy"]["hot"], size) == pytest.approx(rate)


def test_limit_of_a_direct_call_excludes_taps_in_the_padding():
    row = columns_of()
    assert row["limit_ms"] == pytest.approx(0.2)
    assert row["pct_of_limit"] == pytest.approx(40)
    assert row["bound"] == "compute"


def test_transforms_use_the_float32_transform_rate():
    assert columns_of(flops_fft=1e3)["limit_ms"] == pytest.approx((3e5 - 1e3) / 1e9 * 1e3 + 1e3 / 1e7 * 1e3)
    assert columns_of(flops_fft=1e3, dtype="bf16")["limit_ms"] == pytest.approx((3e5 - 1e3) / 4e9 * 1e3 + 1e3 / 1e7 * 1e3)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [({}, 2e5), ({"flops_fft": 1e3}, 3e5), ({"flops_fft": None}, None), ({"flops_eff": float("nan")}, None)],
)
def test_operations_are_flops_eff_without_transforms_and_flops_with_them(changed, expected):
    assert roofline.operations(ROW | changed) == expected


def test_rates_are_the_known_peak_rates():
    assert roofline.rates(PEAKS, "bf16") == {"products": 4e9, "transforms": 1e7}
    assert roofline.rates({"linear": {"fp32": None}, "fft": 1e7}, "fp32") == {"transforms": 1e7}
    assert roofline.rates({}, "fp32") == {}


def test_copy_rate_depends_on_the_timer():
    assert roofline.copy_rate(ROW, 1_000, PEAKS) == 1e9
    assert roofline.copy_rate(ROW | {"timer": "cold"}, 1_000, PEAKS) == 1e6
    assert roofline.copy_rate(ROW, None, PEAKS) is None
    assert roofline.copy_rate(ROW, 1_000, {}) is None


def test_call_of_few_operations_is_memory_bound():
    row = columns_of(flops_eff=2e3)
    assert row["bound"] == "memory"
    assert row["limit_ms"] == pytest.approx(10_000 / 10**8.5 * 1e3)


def test_cell_timed_with_cold_caches_uses_cold_copies():
    assert columns_of(flops_eff=2e3, timer="cold")["limit_ms"] == pytest.approx(10_000 / 1e6 * 1e3)
    assert columns_of(flops_eff=2e3, timer="graph") == columns_of(flops_eff=2e3)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"op_count": 26}, "launch"),  # 0.26 ms: more than half of 0.5 ms and than the limit of 0.2 ms
        ({"op_count": 24}, "compute"),  # less than half
        ({"op_count": 26, "flops_eff": 3e5}, "compute"),  # less than the limit
        ({"op_count": 26, "launch_bound": 0}, "compute"),  # measured as not launch-bound
        ({"op_count": 1, "launch_bound": 1}, "launch"),
        ({"op_count": None, "launch_bound": 1}, "launch"),
        ({"op_count": 26, "launch_bound": 1, "timer": "hot"}, "compute"),  # this timer excludes launch time
        ({"op_count": None}, None),
        ({"latency_ms": None}, None),
    ],
)
def test_call_is_launch_bound_if_launches_take_most_of_it(changed, expected):
    assert columns_of(**changed)["bound"] == expected


@pytest.mark.parametrize(
    "changed",
    [
        {"flops_eff": None},
        {"flops_fft": float("nan")},
        {"weights_bytes": None},
        {"dtype": "bf16", "peaks": PEAKS | {"linear": {"fp32": 1e9, "bf16": None}}},
        {"peaks": PEAKS | {"fft": None}},
        {"peaks": PEAKS | {"copy": {}}},
        {"peaks": {}},
    ],
)
def test_columns_are_none_if_an_input_is_missing(changed):
    row = columns_of(**changed)
    assert [row[name] for name in roofline.COLUMNS[1:]] == [None, None, None]


def test_limit_does_not_need_a_latency():
    row = columns_of(latency_ms=None)
    assert row["limit_ms"] == pytest.approx(0.2)
    assert row["pct_of_limit"] is None


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "large-kernel-bench"


def test_peak_rates_are_stored_per_environment_device_and_threads(cache):
    assert ceilings.load("e1") == {}
    assert ceilings.save("e1", "cpu", 1, PEAKS) == cache / "ceilings-e1.json"
    ceilings.save("e1", "cuda:0", 1, {"fft": 1.0})
    ceilings.save("e1", "cpu", 1, PEAKS | {"fft": 2.0})
    assert ceilings.load("e1") == {"cpu/1": PEAKS | {"fft": 2.0}, "cuda:0/1": {"fft": 1.0}}
    assert ceilings.load("e2") == {}
    assert [path.name for path in cache.iterdir()] == ["ceilings-e1.json"], "no temporary file is left"


@pytest.mark.parametrize("content", ['{"cpu/1": {"li', "[1]", "\x00"])
def test_unreadable_file_is_ignored(cache, content):
    cache.mkdir()
    (cache / "ceilings-e1.json").write_text(content)
    assert ceilings.load("e1") == {}
    ceilings.save("e1", "cpu", 1, PEAKS)
    assert ceilings.load("e1") == CEILINGS


def test_cache_is_in_the_home_folder_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ceilings.path("e1") == tmp_path / ".cache" / "large-kernel-bench" / "ceilings-e1.json"


def test_text_of_peak_rates():
    text = roofline.describe(json.loads(json.dumps(CEILINGS)))
    assert "peak rates of cpu/1, measured in 12 s" in text
    assert "bf16 products                 4 GFLOP/s" in text
    assert "operation launch             10 us" in text
    assert "product bf16 256 failed: not supported" in text
    empty = PEAKS | {"linear": {"fp32": None}, "fft": None, "launch_s": None, "copy": {}}
    assert len(roofline.describe({"cpu/1": empty}).splitlines()) == 2
    assert "--measure" in roofline.describe({})
