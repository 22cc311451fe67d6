"""Roofline columns against rates small enough to reckon with by hand, and the file that keeps ceilings."""

import json

import pytest

from bench import columns
from bench.system import ceilings
from bench.tables import roofline

HERE = {
    "copy": {"hot": [[1_000, 1e9], [100_000, 1e8]], "cold": [[1_000, 1e6]]},
    "linear": {"fp32": 1e9, "bf16": 4e9},
    "fft": 1e7,
    "launch_s": 1e-5,
    "failed": {"product bf16 256": "no such thing"},
    "started": 1.0,
    "seconds": 12.0,
}
CEILINGS = {"cpu/1": HERE}
ROW = {
    **{"level": "op", "batch": 1, "channels": 5, "height": 10, "width": 10, "dtype": "fp32", "mode": "infer", "device": "cpu"},
    **{"threads": 1, "timer": "wall", "latency_ms": 0.5, "weights_bytes": 6_000, "params_count": 70},
    **{"flops": 3e5, "flops_eff": 2e5, "flops_fft": 0.0, "op_count": 2},
}


def columns_of(ceilings=CEILINGS, **changed):
    return roofline.columns(ROW | changed, ceilings)


def test_the_columns_are_in_the_dictionary():
    found = columns_of()
    assert tuple(found) == roofline.COLUMNS
    assert all(columns.get(name).metric == "" for name in found)


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
def test_bytes_min_is_each_array_once(changed, expected):
    assert columns_of(**changed)["bytes_min"] == expected


@pytest.mark.parametrize(
    ("size", "rate"),
    [(10, 1e9), (1_000, 1e9), (10_000, 10**8.5), (100_000, 1e8), (10**9, 1e8)],
)
def test_bandwidth_lies_on_a_line_between_two_sizes_and_is_flat_beyond(size, rate):
    assert roofline.bandwidth(HERE["copy"]["hot"], size) == pytest.approx(rate)


def test_the_limit_of_a_direct_call_leaves_out_the_taps_in_the_padding():
    found = columns_of()
    assert found["limit_ms"] == pytest.approx(0.2)
    assert found["pct_of_limit"] == pytest.approx(40)
    assert found["bound"] == "compute"


def test_transforms_run_at_their_own_rate_and_in_float32():
    assert columns_of(flops_fft=1e3)["limit_ms"] == pytest.approx((3e5 - 1e3) / 1e9 * 1e3 + 1e3 / 1e7 * 1e3)
    assert columns_of(flops_fft=1e3, dtype="bf16")["limit_ms"] == pytest.approx((3e5 - 1e3) / 4e9 * 1e3 + 1e3 / 1e7 * 1e3)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [({}, 2e5), ({"flops_fft": 1e3}, 3e5), ({"flops_fft": None}, None), ({"flops_eff": float("nan")}, None)],
)
def test_operations_are_the_taps_inside_the_map_or_those_with_the_transforms(changed, expected):
    assert roofline.operations(ROW | changed) == expected


def test_level_roofs_are_those_that_are_known():
    assert roofline.rates(HERE, "bf16") == {"products": 4e9, "transforms": 1e7}
    assert roofline.rates({"linear": {"fp32": None}, "fft": 1e7}, "fp32") == {"transforms": 1e7}
    assert roofline.rates({}, "fp32") == {}


def test_the_sloping_roof_of_a_cell_depends_on_how_it_was_timed():
    assert roofline.copy_rate(ROW, 1_000, HERE) == 1e9
    assert roofline.copy_rate(ROW | {"timer": "cold"}, 1_000, HERE) == 1e6
    assert roofline.copy_rate(ROW, None, HERE) is None
    assert roofline.copy_rate(ROW, 1_000, {}) is None


def test_memory_bounds_a_call_of_few_operations_at_the_bandwidth_of_its_working_set():
    found = columns_of(flops_eff=2e3)
    assert found["bound"] == "memory"
    assert found["limit_ms"] == pytest.approx(10_000 / 10**8.5 * 1e3)


def test_a_cell_timed_cold_is_held_against_cold_copies():
    assert columns_of(flops_eff=2e3, timer="cold")["limit_ms"] == pytest.approx(10_000 / 1e6 * 1e3)
    assert columns_of(flops_eff=2e3, timer="graph") == columns_of(flops_eff=2e3)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"op_count": 26}, "launch"),  # 0.26 ms: more than half of 0.5 ms and than the limit of 0.2 ms
        ({"op_count": 24}, "compute"),  # less than half
        ({"op_count": 26, "flops_eff": 3e5}, "compute"),  # less than the limit
        ({"op_count": 26, "launch_bound": 0}, "compute"),  # the clock saw that it is not
        ({"op_count": 1, "launch_bound": 1}, "launch"),
        ({"op_count": None, "launch_bound": 1}, "launch"),
        ({"op_count": 26, "launch_bound": 1, "timer": "hot"}, "compute"),  # launching is no part of that figure
        ({"op_count": None}, None),
        ({"latency_ms": None}, None),
    ],
)
def test_launches_bound_a_call_where_they_take_most_of_it(changed, expected):
    assert columns_of(**changed)["bound"] == expected


@pytest.mark.parametrize(
    "changed",
    [
        {"flops_eff": None},
        {"flops_fft": float("nan")},
        {"weights_bytes": None},
        {"dtype": "bf16", "ceilings": {"cpu/1": HERE | {"linear": {"fp32": 1e9, "bf16": None}}}},
        {"ceilings": {"cpu/1": HERE | {"fft": None}}},
        {"ceilings": {"cpu/1": HERE | {"copy": {}}}},
        {"ceilings": {"cpu/1": {}}},
        {"ceilings": {}},
        {"threads": 2},
        {"device": "cuda:0"},
    ],
)
def test_nothing_is_said_where_something_is_missing(changed):
    found = columns_of(**changed)
    assert [found[name] for name in roofline.COLUMNS[1:]] == [None, None, None]


def test_a_limit_needs_no_latency():
    found = columns_of(latency_ms=None)
    assert found["limit_ms"] == pytest.approx(0.2)
    assert found["pct_of_limit"] is None


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "large-kernel-bench"


def test_ceilings_are_kept_for_each_environment_device_and_threads(cache):
    assert ceilings.load("e1") == {}
    assert ceilings.save("e1", "cpu", 1, HERE) == cache / "ceilings-e1.json"
    ceilings.save("e1", "cuda:0", 1, {"fft": 1.0})
    ceilings.save("e1", "cpu", 1, HERE | {"fft": 2.0})
    assert ceilings.load("e1") == {"cpu/1": HERE | {"fft": 2.0}, "cuda:0/1": {"fft": 1.0}}
    assert ceilings.load("e2") == {}
    assert [path.name for path in cache.iterdir()] == ["ceilings-e1.json"], "nothing is left beside the file"


@pytest.mark.parametrize("content", ['{"cpu/1": {"li', "[1]", "\x00"])
def test_an_unreadable_file_is_none(cache, content):
    cache.mkdir()
    (cache / "ceilings-e1.json").write_text(content)
    assert ceilings.load("e1") == {}
    ceilings.save("e1", "cpu", 1, HERE)
    assert ceilings.load("e1") == CEILINGS


def test_the_cache_is_in_the_home_folder_unless_told_otherwise(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ceilings.path("e1") == tmp_path / ".cache" / "large-kernel-bench" / "ceilings-e1.json"


def test_ceilings_in_words():
    text = roofline.describe(json.loads(json.dumps(CEILINGS)))
    assert "ceilings of cpu/1, measured in 12 s" in text
    assert "bf16 products                 4 GFLOP/s" in text
    assert "start of an operator         10 us" in text
    assert "product bf16 256 failed: no such thing" in text
    empty = HERE | {"linear": {"fp32": None}, "fft": None, "launch_s": None, "copy": {}}
    assert len(roofline.describe({"cpu/1": empty}).splitlines()) == 2
    assert "--measure" in roofline.describe({})
