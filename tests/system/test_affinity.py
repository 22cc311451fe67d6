"""The core to measure on: the one that idles most, and a bound process moves there."""

import pytest

from bench.system import affinity as cores

BEFORE = """cpu  30 0 30 300 0 0 0 0 0 0
cpu0 10 0 10 100 5 0 0 0 0 0
cpu1 10 0 10 100 0 0 0 0 0 0
cpu10 10 0 10 100 0 0 0 0 0 0
intr 1 2 3
"""
AFTER = BEFORE.replace("cpu0 10 0 10 100 5", "cpu0 19 0 10 101 5")  # busy
AFTER = AFTER.replace("cpu1 10 0 10 100 0", "cpu1 10 0 10 104 6").replace("cpu10 10 0 10 100", "cpu10 10 0 10 110")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Three cores, whose counters pass from BEFORE to AFTER while one looks; the process is bound to nothing real."""
    stat = tmp_path / "stat"
    stat.write_text(BEFORE)
    bound = []
    monkeypatch.setattr(cores, "STAT", stat)
    monkeypatch.setattr(cores, "TOPOLOGY", tmp_path)
    monkeypatch.setattr(cores, "ALLOWED", {0, 1, 10})
    monkeypatch.setattr(cores.time, "sleep", lambda seconds: stat.write_text(AFTER))
    monkeypatch.setattr(cores.os, "sched_setaffinity", lambda process, mask: bound.append(mask))
    return bound


def share_arithmetic(tmp_path, core, text):
    folder = tmp_path / f"cpu{core}" / "topology"
    folder.mkdir(parents=True)
    (folder / "thread_siblings_list").write_text(text + "\n")


def test_idle_time_is_idling_and_waiting_for_a_disk_of_each_core():
    assert cores.idle_ticks(BEFORE) == {0: 105, 1: 100, 10: 100}
    assert cores.idle_ticks(AFTER) == {0: 106, 1: 110, 10: 110}


def test_the_core_that_idles_most_is_chosen(machine, monkeypatch):
    assert cores.quietest() == 1, "the lower of two that idle alike"
    monkeypatch.setattr(cores, "ALLOWED", {0, 10})
    cores.STAT.write_text(BEFORE)
    assert cores.quietest() == 10, "among those that the process may use"


def test_of_two_idle_cores_the_one_with_an_idle_sibling_is_chosen(machine, tmp_path):
    share_arithmetic(tmp_path, 1, "0-1")
    share_arithmetic(tmp_path, 10, "10")
    share_arithmetic(tmp_path, 0, "0,1")
    assert cores.siblings(1) == cores.siblings(0) == [0, 1]
    assert cores.quietest() == 1, "a sibling that idled for one tick is better than none"


def test_there_is_no_choice_of_one_core_and_none_without_the_counters(machine, monkeypatch):
    monkeypatch.setattr(cores, "ALLOWED", {1})
    assert cores.quietest() is None
    monkeypatch.setattr(cores, "ALLOWED", {0, 1})
    cores.STAT.unlink()
    assert cores.quietest() is None


def test_a_stray_interruption_is_no_neighbour():
    assert not cores.crowded(2, 0.02)
    assert cores.crowded(5, 0.02)
    assert not cores.crowded(20, 1.0) and cores.crowded(30, 1.0)


def test_a_group_stays_on_its_core_until_it_is_disturbed(machine, monkeypatch):
    looks = iter([0, 10])
    monkeypatch.setattr(cores, "quietest", lambda: next(looks))
    seat = cores.CoreAssignment(wanted=True)
    assert [seat.take(), seat.take()] == [0, 0]
    seat.disturbed = True
    assert [seat.take(), seat.take()] == [10, 10], "one look for the whole group"
    assert cores.CoreAssignment(wanted=False).take() is None


def test_no_core_named_is_no_binding(machine):
    cores.bind(None)
    cores.bind(0)
    assert machine == [{0}]
