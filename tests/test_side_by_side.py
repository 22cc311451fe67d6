"""Trainings on a CPU that run beside each other: the same records, and one's death costs its own."""

import threading
from pathlib import Path

import pytest

from bench.executors.process import Pool, side_by_side
from bench.plan import accuracy_cell
from bench.spec import Cell, Job, Limits, Training

FAULTS = str(Path(__file__).parent / "plugins" / "faults.py")
TASK = Training(res=8, epochs=2)


def trainings(*methods):
    return [Job(accuracy_cell(Cell(name, 8, 8), TASK, "mixer[width=4,depth=1]"), "accuracy", TASK) for name in methods]


def ended(at_once, *methods):
    return {r.job.cell.method: r for r in Pool((FAULTS,)).execute(trainings(*methods), Limits(timeout=60, at_once=at_once))}


def test_the_records_are_those_of_one_after_the_other():
    alone, together = ended(1, "dwconv3", "conv3"), ended(2, "dwconv3", "conv3")
    assert alone.keys() == together.keys() == {"dwconv3", "conv3"}
    for name, record in alone.items():
        assert record.status == "ok"
        assert record.rounds["loss"] == together[name].rounds["loss"]
        assert record.values["accuracy"] == together[name].values["accuracy"]


def test_a_crash_costs_its_own_record():
    records = ended(3, "dwconv3", "segfault", "raises")
    assert {name: record.status for name, record in records.items()} == {"dwconv3": "ok", "segfault": "crashed", "raises": "error"}


def test_so_many_run_at_once():
    both = threading.Barrier(2, timeout=30)
    assert sorted(side_by_side([both.wait, both.wait], 2)) == [0, 1]
    with pytest.raises(threading.BrokenBarrierError):
        list(side_by_side([threading.Barrier(2, timeout=0.2).wait] * 2, 1))


def test_what_is_open_is_dropped_where_the_caller_stops():
    begun = []
    gate = threading.Event()

    def call(number):
        begun.append(number)
        gate.wait(30 if number else 0)
        return number

    results = side_by_side([lambda n=n: call(n) for n in range(8)], 2)
    assert next(results) == 0
    results.close()
    gate.set()
    assert len(begun) <= 3
