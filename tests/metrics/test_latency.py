"""The CPU timer: warm-up, combination of short calls, and detection of context switches."""

import time

import numpy as np
import pytest

from bench.metrics.latency import measure, raw, summary
from bench.spec import Cell, Timing
from bench.stats.rounds import Round
from bench.timers import cpu
from bench.timers.cpu import BUNDLE, SHORT, calls_for, cpu_round, warm_up
from bench.workload.build import Workload

TIMING = Timing(rounds=2, max_rounds=2, round_seconds=0.02, min_calls=3, max_calls=10)


@pytest.mark.parametrize(
    ("seconds", "calls"),
    [
        ([0.03, 0.01, 0.01, 0.01], 5),  # three that are no faster than the second
        ([0.01], 4),
        ([0.0005], 6),  # no shorter than 3 ms
        ([0.004, 0.002], 5),  # noise only increases times: the minimum counts
        ([0.004, 0.002, 0.001, 0.0005, 0.0001], 8),  # becomes faster until the end
        ([0.9], 1),  # longer than the maximum warm-up
    ],
)
def test_warm_up_ends_if_times_are_steady(monkeypatch, seconds, calls):
    """Uses a clock that only the step advances. A list of two times alternates; others stay at their last value."""
    now, made = [0.0], []

    def step():
        made.append(None)
        index = len(made) - 1
        now[0] += seconds[index % 2] if len(seconds) == 2 else seconds[min(index, len(seconds) - 1)]

    monkeypatch.setattr(cpu.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(cpu, "_switches_and_faults", lambda: (0, 0))
    assert warm_up(step) == pytest.approx(min(seconds))
    assert abs(len(made) - calls) <= 1  # a sum of decimals may be below its limit by a rounding error


@pytest.mark.parametrize(("growing_calls", "calls"), [(2, 3), (5, 6), (100, 8)])
def test_warm_up_goes_on_while_the_heap_grows(monkeypatch, growing_calls, calls):
    """The first calls of 0.3 s cause page faults: warm-up continues until they stop, for at most eight calls."""
    now, made = [0.0], []

    def step():
        made.append(None)
        now[0] += 0.3

    monkeypatch.setattr(cpu.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(cpu, "_switches_and_faults", lambda: (0, 1000 * min(len(made), growing_calls)))
    warm_up(step)
    assert len(made) == calls


def test_short_calls_are_combined_and_divided():
    calls = []
    one = cpu_round(lambda: calls.append(None), TIMING)
    assert len(one.wall) == TIMING.max_calls
    assert len(calls) > 10 * TIMING.max_calls, "bundled"
    assert max(one.wall[1:]) < SHORT, "per call, not per bundle"
    assert BUNDLE < 1e-3


def test_sleep_takes_wall_time_but_no_cpu_time():
    one = cpu_round(lambda: time.sleep(0.01), TIMING)
    assert min(one.wall) >= 0.01
    assert max(one.cpu) < 0.005


def test_number_of_calls():
    timing = Timing(round_seconds=0.2, min_calls=3, max_calls=50)
    assert [calls_for(seconds, timing) for seconds in (0.001, 0.01, 0.1, 1.0)] == [50, 20, 3, 3]


def test_summary_uses_medians_of_rounds_not_of_calls():
    """For round medians of 1, 2 and 9 ms the headline is 2 ms, regardless of the number of samples in each."""
    rounds = [Round([ms / 1e3] * n, [ms / 1e3] * n, [0] * n, [0] * n) for ms, n in ((1, 5), (2, 5), (9, 50))]
    values = summary(rounds)
    assert values["latency_ms"] == pytest.approx(2.0)
    assert values["latency_min_ms"] == pytest.approx(1.0)
    assert values["calls"] == 60
    assert values["contended"] == 0


def test_samples_with_a_switch_are_excluded():
    one = Round([1e-3, 1e-3, 1e-3, 50e-3, 60e-3], [1e-3] * 5, [0, 0, 0, 1, 3], [0] * 5)
    values = summary([one, one])
    assert values["latency_ms"] == pytest.approx(1.0)
    assert values["latency_p90_ms"] > 40
    assert values["clean_share"] == pytest.approx(0.6)


def test_cpu_time_replaces_wall_time_without_clean_samples():
    one = Round([9e-3] * 5, [1e-3] * 5, [1] * 5, [0] * 5)
    values = summary([one, one])
    assert values["latency_ms"] == pytest.approx(1.0)
    assert values["contended"] == 1


def test_cpu_time_is_not_used_with_several_threads():
    one = Round([9e-3] * 5, [17e-3] * 5, [1] * 5, [0] * 5)
    values = summary([one, one], threads=2)
    assert values["latency_ms"] == pytest.approx(9.0)
    assert values["cpu_ms"] is None
    assert values["contended"] == 1


def test_gpu_round_has_no_cpu_time():
    values = summary([Round([1e-3] * 5, [], [0] * 5, [])] * 2)
    assert values["latency_ms"] == pytest.approx(1.0)
    assert values["cpu_ms"] is values["clean_share"] is values["faults_per_call"] is None


@pytest.mark.parametrize("mode", ["infer", "train"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_operator_is_measured_in_rounds(mode, dtype):
    measuring = measure(Workload(Cell("dwconv7", 12, 9, channels=4, batch=2, mode=mode, dtype=dtype)), TIMING)
    rounds = 0
    while True:
        try:
            next(measuring)
        except StopIteration as end:
            values, figures, samples, _ = end.value
            break
        rounds += 1
    assert rounds == TIMING.rounds == len(samples["rounds"]) == len(figures["clean"])
    assert values["latency_lo_ms"] <= values["latency_ms"] <= values["latency_hi_ms"]


def test_training_step_reaches_every_parameter_and_leaves_no_gradient():
    workload = Workload(Cell("dwconv7", 12, 9, channels=4, mode="train"))
    workload.checked_step()()
    assert all(parameter.grad is None for parameter in workload.module.parameters())
    assert workload.module.training


def test_inputs_are_new_in_each_round_and_not_zero():
    workload = Workload(Cell("dwconv7", 12, 9, channels=4))
    first, second = workload.inputs(0), workload.inputs(1)
    assert not np.array_equal(first, second)
    assert first.std() > 0.5


def test_raw_samples_are_integer_nanoseconds():
    assert raw(Round([1.5e-6], [1e-6], [0], [2.0])) == {"wall_ns": [1500], "cpu_ns": [1000], "switches": [0], "faults": [2.0]}


def test_garbage_collector_is_disabled_in_a_round():
    import gc

    collecting = []
    cpu_round(lambda: collecting.append(gc.isenabled()), TIMING)
    assert not any(collecting)
    assert gc.isenabled()


def exhaust(measuring, answer):
    """Return what a metric yields if it is sent the same value each time, and its outcome."""
    yielded = [next(measuring)]
    while True:
        try:
            yielded.append(measuring.send(answer))
        except StopIteration as end:
            return yielded, end.value


def test_job_continues_until_the_whole_group_is_precise(monkeypatch):
    from bench.metrics import latency

    steady = Round([1e-3] * 5, [1e-3] * 5, [0] * 5, [0] * 5)
    monkeypatch.setattr(latency, "measure_round", lambda *args, **named: steady)
    for answer, expected in ((True, 3), (False, 7)):
        measuring = measure(Workload(Cell("dwconv7", 12, 9, channels=4)), Timing(rounds=3, max_rounds=7))
        precise, outcome = exhaust(measuring, answer)
        assert outcome.values["rounds"] == expected
        assert precise == [False, False, *[True] * (expected - 2)], "never before the rounds that are due"
        assert outcome.values["converged"] == 1
