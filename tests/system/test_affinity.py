"""The least busy core is selected, and processes are bound to it."""

import pytest

from bench.system import affinity

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
    """Simulate three cores whose counters change from BEFORE to AFTER. Binding is recorded only."""
    stat = tmp_path / "stat"
    stat.write_text(BEFORE)
    bound = []
    monkeypatch.setattr(affinity, "STAT", stat)
    monkeypatch.setattr(affinity, "TOPOLOGY", tmp_path)
    monkeypatch.setattr(affinity, "ALLOWED", {0, 1, 10})
    monkeypatch.setattr(affinity.time, "sleep", lambda seconds: stat.write_text(AFTER))
    monkeypatch.setattr(affinity.os, "sched_setaffinity", lambda process, mask: bound.append(mask))
    return bound


def share_arithmetic(tmp_path, core, text):
    folder = tmp_path / f"cpu{core}" / "topology"
    folder.mkdir(parents=True)
    (folder / "thread_siblings_list").write_text(text + "\n")


def test_idle_ticks_include_waiting_for_a_disk():
    assert affinity.idle_ticks(BEFORE) == {0: 105, 1: 100, 10: 100}
    assert affinity.idle_ticks(AFTER) == {0: 106, 1: 110, 10: 110}


def test_least_busy_core_is_selected(machine, monkeypatch):
    assert affinity.least_busy_core() == 1, "the lower of two equally idle cores"
    monkeypatch.setattr(affinity, "ALLOWED", {0, 10})
    affinity.STAT.write_text(BEFORE)
    assert affinity.least_busy_core() == 10, "only allowed cores"


def test_core_with_an_idle_sibling_is_preferred(machine, tmp_path):
    share_arithmetic(tmp_path, 1, "0-1")
    share_arithmetic(tmp_path, 10, "10")
    share_arithmetic(tmp_path, 0, "0,1")
    assert affinity.siblings(1) == affinity.siblings(0) == [0, 1]
    assert affinity.least_busy_core() == 1, "one idle tick of a sibling decides"


def test_no_core_is_selected_without_a_choice_or_counters(machine, monkeypatch):
    monkeypatch.setattr(affinity, "ALLOWED", {1})
    assert affinity.least_busy_core() is None
    monkeypatch.setattr(affinity, "ALLOWED", {0, 1})
    affinity.STAT.unlink()
    assert affinity.least_busy_core() is None


def test_few_switches_do_not_count_as_crowded():
    assert not affinity.crowded(2, 0.02)
    assert affinity.crowded(5, 0.02)
    assert not affinity.crowded(20, 1.0) and affinity.crowded(30, 1.0)


def test_group_keeps_its_core_until_it_is_crowded(machine, monkeypatch):
    selected = iter([0, 10])
    monkeypatch.setattr(affinity, "least_busy_core", lambda: next(selected))
    core = affinity.CoreAssignment(bound=True)
    assert [core.current(), core.current()] == [0, 0]
    core.crowded = True
    assert [core.current(), core.current()] == [10, 10], "one selection for the whole group"
    assert affinity.CoreAssignment(bound=False).current() is None


def test_none_leaves_the_process_unbound(machine):
    affinity.bind(None)
    affinity.bind(0)
    assert machine == [{0}]
