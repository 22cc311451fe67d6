"""A cell beyond its limits is recorded as skipped with the prediction, and is measured if the limits are raised."""

import math
from dataclasses import replace

import pytest

import methods
from bench import journal
from bench.columns import METRICS
from bench.executors import admission
from bench.executors.process import Pool
from bench.spec import PROTOCOLS, UNTIMED_CALLS, Cell, Energy, Job, Limits, Protocol, Timing
from bench.workload.build import Workload
from tests.builders import bench
from tests.paths import FAULTS

STOCK = Cell("dwconv31_direct", 56, 56, channels=16)
GIB = 2**30


def admitted(limits, cell=STOCK, metric="latency"):
    """Return the reason and the prediction of a skipped cell, or None if it is admitted."""
    job = Job(cell, metric, PROTOCOLS.get(metric, Protocol()))
    try:
        admission.admit(Workload(cell), job, limits)
    except admission.Skipped as skip:
        return str(skip), skip.prediction
    return None


def test_a_cell_within_its_limits_is_admitted():
    assert admitted(Limits(cell_seconds=3600, memory=64 * GIB)) is None


def test_duration_is_predicted_from_one_call(monkeypatch):
    """18 s per call, as torch's 51 x 51 depthwise convolution at 224 px may take."""
    monkeypatch.setattr(admission, "time_one_call", lambda workload: 18.0)
    reason, prediction = admitted(Limits(cell_seconds=120))
    seconds = 18.0 * Timing().rounds * (UNTIMED_CALLS + Timing().min_calls)
    assert prediction == {"predicted_s": pytest.approx(seconds)}
    assert reason == f"one call took 18 s, the whole cell about {seconds:.3g} s: more than --max-cell-time 120"


def test_slow_first_call_is_repeated(monkeypatch):
    """The first call may include compilation, autotuning or planning."""
    calls = iter([50.0, 0.01])
    monkeypatch.setattr(admission, "time_one_call", lambda workload: next(calls))
    assert admitted(Limits(cell_seconds=120)) is None
    assert next(calls, None) is None


def test_cell_beyond_the_fastest_device_is_not_run(monkeypatch):
    monkeypatch.setattr(admission, "time_one_call", lambda workload: pytest.fail("the operator ran"))
    reason, prediction = admitted(
        Limits(cell_seconds=60, memory=2**60), replace(STOCK, height=4096, width=4096, channels=4096, batch=64)
    )
    assert "FLOP take" in reason and reason.endswith("more than --max-cell-time 60")
    assert prediction["predicted_s"] > 60


def test_memory_is_checked_before_any_allocation(monkeypatch):
    monkeypatch.setattr(admission, "time_one_call", lambda workload: pytest.fail("the operator ran"))
    large = replace(STOCK, height=1 << 14, width=1 << 14, channels=256)
    reason, prediction = admitted(Limits(memory=4 * GIB), large, "memory")
    assert prediction["predicted_bytes"] > 256 * 2**28 * 4 * 2
    assert reason.startswith("one call needs about") and reason.endswith("more than --mem-limit 4 GiB")


def test_metrics_that_run_nothing_are_not_checked():
    tight = Limits(cell_seconds=1e-9, memory=1)
    assert [admitted(tight, metric=metric) for metric in ("params", "flops", "accuracy")] == [None] * 3


def test_duration_of_a_job_depends_on_its_protocol():
    timing = Timing(rounds=5, min_calls=3)
    assert admission.job_seconds(2.0, Job(STOCK, "latency", timing)) == 2.0 * 5 * (UNTIMED_CALLS + 3)
    assert admission.job_seconds(2.0, Job(STOCK, "memory", Protocol())) == 2.0 * METRICS["memory"].calls
    energy = Energy(windows=3, window_seconds=3.0)
    assert admission.job_seconds(0.1, Job(STOCK, "energy", energy)) == 12.0
    assert admission.job_seconds(10.0, Job(STOCK, "energy", energy)) == 33.0


def test_probe_measures_one_call_of_the_operator():
    methods.load_file(FAULTS)
    seconds = admission.time_one_call(Workload(Cell("sleeps", 4, 4, channels=2)))
    assert seconds >= 0.2 > 0
    assert not math.isinf(seconds)


@pytest.fixture
def sweep(tmp_path):
    """Sweep a slow and a fast method into one folder. Returns the output and {method: record}."""
    out = tmp_path / "results" / "run"
    words = ("run", "--methods", "sleeps,fine", "--baseline", "none", "--plugin", FAULTS, "--res", "8", "--channels", "4")

    def run(*limits, metrics="memory"):
        result = bench(*words, "--metrics", metrics, "--executor", "inline", "-o", str(out), *limits)
        assert result.exit_code == 0, result.output
        return result.output, {
            record.job.cell.method: record for record in journal.read_journal(out / journal.JOURNAL).records.values()
        }

    return run


def test_cell_beyond_max_cell_time_is_skipped_until_the_limit_is_raised(sweep):
    _, records = sweep("--max-cell-time", "100ms")
    assert (records["sleeps"].status, records["fine"].status) == ("skipped", "ok")
    assert records["sleeps"].prediction["predicted_s"] >= 0.2
    assert "more than --max-cell-time 0.1" in records["sleeps"].detail
    assert records["sleeps"].values == {}
    text, again = sweep("--max-cell-time", "110ms")
    assert "2 jobs, 2 already done" in text, "still predicted to exceed it"
    assert again["sleeps"] == records["sleeps"]
    text, raised = sweep("--max-cell-time", "60s")
    assert "2 jobs, 1 already done" in text
    assert raised["sleeps"].status == "ok"
    text, lowered = sweep("--max-cell-time", "100ms")
    assert "2 jobs, 2 already done" in text
    assert lowered == raised, "measured records are retained"


def test_cell_beyond_mem_limit_is_skipped_until_the_limit_is_raised(sweep):
    _, records = sweep("--mem-limit", "1KB")
    assert [record.status for record in records.values()] == ["skipped", "skipped"]
    assert all(record.prediction["predicted_bytes"] > 1024 for record in records.values())
    assert "2 jobs, 2 already done" in sweep("--mem-limit", "1KB")[0]
    text, raised = sweep("--mem-limit", "1GB")
    assert "2 jobs, 0 already done" in text
    assert [record.status for record in raised.values()] == ["ok", "ok"]


def test_reason_of_a_skipped_row_is_shown_in_table_and_leaderboard(sweep, tmp_path):
    sweep("--max-cell-time", "100ms", metrics="latency")
    assert "one call took" in (tmp_path / "results" / "run" / "table.csv").read_text()
    page = (tmp_path / "results" / "LEADERBOARD.md").read_text()
    assert "*skipped*" in page and "skipped: one call took" in page


def test_slow_large_kernel_is_skipped_by_a_worker():
    """Use torch's depthwise convolution with a 51 x 51 kernel, at a size at which it takes seconds."""
    cell = Cell("dwconv", 96, 96, channels=64, kernel=51, params=(("backend", "direct"),))
    small = Timing(rounds=1, max_rounds=1)
    (record,) = Pool().execute([Job(cell, "latency", small)], Limits(cell_seconds=0.05))
    assert record.status == "skipped"
    assert record.prediction["predicted_s"] > 0.05


def test_address_space_limit_stops_an_unpredicted_allocation():
    (record,) = Pool((FAULTS,)).execute([Job(Cell("gorges", 8, 8), "memory", Protocol())], Limits(memory=GIB))
    assert record.status == "oom"
    assert record.values == {}
