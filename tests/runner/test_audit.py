"""The counts of an audit and the verdict that follows from them."""

import json
import math
from dataclasses import replace

import pytest

from bench.runner import audit
from bench.runner.ab import Trial
from bench.runner.audit import PLUGIN, TIMES, Audit, Experiment, busy
from bench.runner.audit_text import conclusion, text
from bench.spec import Cell, Job, Limits, Record, Timing
from bench.stats.rounds import Interval

CELL = Cell("dwconv7", 56, 56)
GOOD = Audit(
    "dwconv7, here", load=0, trials=20, false_positives=1, found=18, wrong_way=0, failed=0, spread=0.01, half_width=0.01,
    clean_share=0.9, contended=0.0, methods=5, sweep_spread=0.02, ratio_spread=0.03, tau=0.99, tau_latency=0.95,
    seconds=60.0, started=0.0,
)  # fmt: skip


def record(cell, ms, status="ok"):
    values = {"latency_ms": ms, "clean_share": 0.5, "contended": 0} if status == "ok" else {}
    rounds = {clock: [ms * (1 + 0.001 * (n % 3)) for n in range(8)] for clock in ("clean", "cpu", "wall")}
    return Record(Job(cell, "latency", Timing()), status, "", values, rounds if values else {})


@pytest.fixture
def scripted(monkeypatch):
    """Trials and sweeps without processes. The first trial of each kind is wrong, all others are right."""
    seen = []

    def trial(pool, sides, protocol, limits):
        a, b = sides
        slowed = a.method == "repeated"
        first = not any(one.method == a.method for one, _ in seen)
        seen.append((a, b))
        words = ("unclear", "slower") if slowed else ("faster", "same")
        return Trial((record(a, 1.0 + len(seen) / 100), record(b, 1.0)), Interval(1.0, 0.99, 1.01), words[not first], "clean")

    class Pool:
        def execute(self, jobs, limits):
            yield from (record(job.cell, 1.0 + len(job.cell.method), "oom" if job.cell.method == "bad" else "ok") for job in jobs)

    monkeypatch.setattr(audit, "trial", trial)
    found = audit.audit(Pool(), CELL, ["a", "bbbb", "cccccccc", "bad"], Experiment(trials=4), lambda line: None)
    return found, seen


def test_false_verdicts_and_missed_differences_are_counted(scripted):
    found, _ = scripted
    assert (found.trials, found.false_positives, found.found, found.wrong_way, found.failed) == (4, 1, 3, 0, 2)
    assert found.half_width == pytest.approx(0.01)
    assert found.clean_share == 0.5
    assert 0 < found.spread < 0.05


def test_two_sweeps_are_compared_by_the_methods_that_ran_in_both(scripted):
    found, _ = scripted
    assert found.methods == 3
    assert found.tau == found.tau_latency == pytest.approx(1.0)
    assert found.sweep_spread == 0.0 and math.isnan(found.ratio_spread), "the audited method is not among them"


def test_the_injected_slowdown_is_five_percent_and_the_audited_method_is_compared_with_itself(scripted):
    _, seen = scripted
    same, slowed = seen[0], seen[1]
    assert replace(same[0], alias="") == replace(same[1], alias="") == CELL
    assert [dict(cell.params)["times"] for cell in slowed] == list(TIMES)
    assert TIMES[1] / TIMES[0] == pytest.approx(1.05)
    assert len({cell.label for pair in seen for cell in pair}) == 4, "every side has its own name"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"false_positives": 2}, "too many false positives"),
        ({"found": 17}, "a difference of 5% is missed"),
        ({"wrong_way": 1}, "a slower operator was called faster"),
        ({"tau": 0.97}, "two runs of one sweep rank differently"),
        ({"tau": math.nan}, "or rank nothing"),
        ({"failed": 1}, "trials or methods failed"),
    ],
)
def test_each_fault_alone_makes_a_machine_unsound(change, reason):
    assert GOOD.sound and "are trustworthy on this machine today" in conclusion(GOOD)
    bad = replace(GOOD, **change)
    assert not bad.sound
    assert reason in conclusion(bad) and "are not trustworthy" in conclusion(bad)


def test_the_text_has_every_value_and_the_data_are_json():
    assert all(figure in text(GOOD) for figure in ("1 of 20", "18 of 20", "1.0%", "90%", "0.990", "0.950", "2.0%", "3.0%"))
    assert "a difference between two runs below 4% means nothing" in text(GOOD)
    unknown = replace(GOOD, spread=math.nan, tau=math.nan).to_json()
    assert unknown["spread"] is None and unknown["sound"] is False
    json.dumps(unknown, allow_nan=False)


def test_load_is_real_and_ends():
    with busy(2) as processes:
        assert [process.poll() for process in processes] == [None, None]
    assert all(process.poll() is not None for process in processes)


def test_a_real_trial_of_each_kind():
    """In worker processes, with few rounds: the machinery, not the verdicts."""
    from bench.executors.process import Pool

    pool = Pool((PLUGIN,))
    quick = Timing(rounds=2, max_rounds=2, round_seconds=0.005)
    for sides in ((audit._named(CELL, "A"), audit._named(CELL, "B")), audit._slowed(CELL)):
        found = audit.trial(pool, sides, quick, Limits())
        assert [one.status for one in found.records] == ["ok", "ok"]
        assert found.ratio.mid > 0
