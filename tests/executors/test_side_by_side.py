"""Parallel trainings on a CPU have the same records as sequential ones, and a crash affects only one record."""

import gc
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench.executors import process
from bench.executors.process import Pool, is_training, run_in_parallel
from bench.plan import accuracy_cell
from bench.spec import Cell, Job, Limits, Training
from tests.paths import FAULTS

TASK = Training(res=8, epochs=2)


def trainings(*methods):
    return [Job(accuracy_cell(Cell(name, 8, 8), TASK, "mixer[width=4,depth=1]"), "accuracy", TASK) for name in methods]


def ended(at_once, *methods):
    return {r.job.cell.method: r for r in Pool((FAULTS,)).execute(trainings(*methods), Limits(timeout=60, at_once=at_once))}


def test_parallel_records_equal_sequential_ones():
    alone, together = ended(1, "dwconv3", "conv3"), ended(2, "dwconv3", "conv3")
    assert alone.keys() == together.keys() == {"dwconv3", "conv3"}
    for name, record in alone.items():
        assert record.status == "ok"
        assert record.rounds["loss"] == together[name].rounds["loss"]
        assert record.values["accuracy"] == together[name].values["accuracy"]


def test_crash_affects_only_its_own_record():
    records = ended(3, "dwconv3", "segfault", "raises")
    assert {name: record.status for name, record in records.items()} == {"dwconv3": "ok", "segfault": "crashed", "raises": "error"}


def test_number_of_parallel_calls():
    both = threading.Barrier(2, timeout=30)
    assert sorted(run_in_parallel([both.wait, both.wait], 2)) == [0, 1]
    with pytest.raises(threading.BrokenBarrierError):
        list(run_in_parallel([threading.Barrier(2, timeout=0.2).wait] * 2, 1))


def test_pending_calls_are_cancelled_if_the_caller_stops():
    started = []
    gate = threading.Event()

    def call(number):
        started.append(number)
        gate.wait(30 if number else 0)
        return number

    results = run_in_parallel([lambda n=n: call(n) for n in range(8)], 2)
    assert next(results) == 0
    results.close()
    gate.set()
    assert len(started) <= 3


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_files_of_finished_workers_are_closed():
    """When the last of six trainings ends, before the sweep does, the files of all their workers are closed."""
    names = ["raises", "exits", "nan", "segfault", "declines", "curses"]
    pool = Pool((FAULTS,))
    pool.collect_env()  # starts the server, which has its own files
    count = [files()]
    for _ in pool.execute(trainings(*names), Limits(timeout=60, at_once=2)):
        count.append(files())  # while the others run
    assert len(count) == 1 + len(names)
    assert count[-1] <= count[0] + 2, count


def files():
    """Return the number of open files of this process."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


class Slow:
    """A worker that starts when `let` is set and never answers."""

    started: list["Slow"]
    let: threading.Event

    def __init__(self, *settings):
        self.alive, self.crowded = True, False
        self.started.append(self)
        self.let.wait(30)

    def ask(self, request, timeout):
        while self.alive:
            time.sleep(0.01)
        raise process.WorkerDied("crashed", "killed")

    def stop(self):
        self.alive = False


def test_worker_that_starts_while_the_caller_stops_is_ended(monkeypatch):
    monkeypatch.setattr(process, "Worker", Slow)
    Slow.started, Slow.let = [], threading.Event()
    threads = set(threading.enumerate())
    pool = Pool()
    records = pool.execute(trainings("dwconv3", "conv3", "niff"), Limits(at_once=2))
    monkeypatch.setattr(process, "as_completed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(records)
    Slow.let.set()
    for thread in set(threading.enumerate()) - threads:
        thread.join(10)
        assert not thread.is_alive()
    assert len(Slow.started) == 1, "the other worker waits for its turn to start"
    assert not Slow.started[0].alive
    assert not pool.workers


def interrupted(futures):
    """Raise KeyboardInterrupt as soon as a worker starts."""
    deadline = time.monotonic() + 30
    while not Slow.started and time.monotonic() < deadline:
        time.sleep(0.01)
    raise KeyboardInterrupt


def test_only_trainings_with_a_number_of_epochs_run_in_parallel():
    """A budget of seconds and a GPU are excluded, because they are shared."""
    (job,) = trainings("dwconv3")
    assert is_training(job)
    assert not is_training(replace(job, protocol=replace(TASK, seconds=1.0)))
    assert not is_training(replace(job, cell=replace(job.cell, device="cuda:0")))
    assert not is_training(Job(job.cell, "params"))
