"""Recommendations: only cells of the requested setting, one answer per machine, and the suggested command."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.report.recommend import answer as recommend
from bench.report.recommend import text as recommend_text
from bench.system import machine
from tests.builders import ENV, QUERY, journal, latency, memory, query, seeded, steady, this_machine  # noqa: F401


def answer(*records, envs=(ENV,), **limits):
    return recommend.recommend([journal(*records, envs=envs)], query(**limits))


def labels(candidates):
    return [candidate.label for candidate in candidates]


def states(result):
    (answered,) = result.machines
    return {candidate.label: candidate.state for candidate in answered.candidates}


def test_fastest_is_recommended_and_others_follow_by_latency():
    result = answer(steady("slow", 4.0), steady("dwconv7", 1.0), steady("fast", 0.5))
    assert labels(result.recommended) == ["fast"]
    assert labels(result.machines[0].candidates) == ["fast", "dwconv7", "slow"]


def test_tied_methods_are_recommended_together():
    result = answer(steady("a", 1.0), steady("b", 1.015), steady("c", 1.1))
    assert labels(result.recommended) == ["a", "b"], "1.5% is within the region of practical equivalence"


@pytest.mark.parametrize(("ms", "state"), [(0.98, "satisfied"), (1.0, "inconclusive"), (1.02, "violated")])
def test_latency_satisfies_a_limit_if_the_whole_interval_does(ms, state):
    result = answer(steady("a", ms), max_latency_ms=1.0)
    assert states(result) == {"a": state}
    assert labels(result.recommended) == (["a"] if state == "satisfied" else [])


def test_latency_without_an_interval_is_inconclusive_under_a_limit():
    bare = steady("a", 0.1)
    bare.values.update(latency_lo_ms=None, latency_hi_ms=None)
    assert states(answer(bare, max_latency_ms=1.0)) == {"a": "inconclusive"}
    assert states(answer(bare)) == {"a": "satisfied"}


def test_memory_is_exact_and_missing_memory_is_reported():
    sizes = memory("fits", 1e6), memory("big", 1e6 + 1), memory("failed", 0, "oom")
    result = answer(*sizes, *(steady(name, 1.0) for name in ("fits", "big", "failed", "never")), max_memory=1e6)
    assert states(result) == {"fits": "satisfied", "big": "violated", "failed": "not measured", "never": "not measured"}
    reasons = {candidate.label: recommend_text.reason(candidate) for candidate in result.machines[0].candidates}
    assert reasons["failed"] == "memory oom: no room"
    assert reasons["never"] == "memory not measured"


def test_failed_latency_is_reported():
    result = answer(steady("a", 1.0), latency("dead", 0, "skipped", "would take 300 s"))
    assert states(result) == {"a": "satisfied", "dead": "not measured"}
    assert recommend_text.reason(result.machines[0].candidates[-1]) == "latency skipped: would take 300 s"


def test_accuracy_satisfies_a_limit_if_the_whole_interval_does():
    trained = [
        *seeded("sure", 95.0, 95.1, 95.2),
        *seeded("near", 88.0, 92.0, 96.0),
        *seeded("low", 50.0, 51.0),
        *seeded("one", 99.0),
    ]
    timed = [steady(name, 1.0) for name in ("sure", "near", "low", "one", "untrained")]
    result = answer(*trained, *timed, min_accuracy=90)
    assert states(result) == {
        "sure": "satisfied",
        "near": "inconclusive",
        "low": "violated",
        "one": "inconclusive",
        "untrained": "not measured",
    }
    assert states(answer(*trained, *timed, min_accuracy=56))["low"] == "inconclusive", "50.5 ± 12.7 * 0.5 with two seeds"
    assert result.machines[0].comparison_group.startswith("digits 16 px")


def test_failed_seed_gives_no_accuracy():
    result = answer(steady("a", 1.0), *seeded("a", 99.0, None, 99.0), min_accuracy=90)
    assert states(result) == {"a": "not measured"}
    assert "seed 1" in recommend_text.reason(result.machines[0].candidates[0])


def test_accuracies_of_only_one_task_are_compared():
    """The task on which most methods were trained, unless one is requested; never different tasks for different methods."""
    trained = [*seeded("a", 99.0, 99.0), *seeded("b", 99.0, 99.0), *seeded("a", 60.0, 60.0, data="farpair")]
    timed = [steady("a", 1.0), steady("b", 2.0)]
    assert states(answer(*trained, *timed, min_accuracy=90)) == {"a": "satisfied", "b": "satisfied"}
    farther = answer(*trained, *timed, min_accuracy=90, data="farpair")
    assert states(farther) == {"a": "violated", "b": "not measured"}
    assert farther.tasks == ("digits", "farpair")


def test_several_seeds_of_few_methods_are_preferred_to_one_seed_of_many():
    many = [record for name in "abc" for record in seeded(name, 99.0)]
    trained = [*many, *seeded("a", 95.0, 95.0, data="farpair")]
    result = answer(*trained, *(steady(name, 1.0) for name in "abc"), min_accuracy=90)
    assert states(result)["a"] == "satisfied"
    assert result.machines[0].comparison_group.startswith("farpair")


def test_each_machine_has_an_answer():
    """This machine is first, although the other was measured later and is faster."""
    there = ENV | {"id": "e2", "cpu": "Another"}
    result = answer(steady("a", 1.0), steady("b", 2.0), steady("b", 0.1, session=9.0, env="e2"), envs=(ENV, there))
    assert [(answered.env["id"], answered.here, labels(answered.recommended)) for answered in result.machines] == [
        ("e1", True, ["a"]),
        ("e2", False, ["b"]),
    ]


def test_newest_of_other_machines_is_first(monkeypatch):
    monkeypatch.setattr(machine, "hardware", lambda: {"cpu": "Neither"})
    result = answer(steady("a", 1.0), steady("a", 1.0, session=9.0, env="e2"), envs=(ENV, ENV | {"id": "e2"}))
    assert [answered.env["id"] for answered in result.machines] == ["e2", "e1"]


def test_newest_measurement_of_a_method_is_used():
    old, new = journal(steady("a", 1.0), memory("a", 5e6)), journal(steady("a", 3.0, session=2.0), name="newer")
    result = recommend.recommend([new, old], query(max_memory=6e6))
    (only,) = result.machines[0].candidates
    assert (only.row["latency_ms"], only.row["run"]) == (3.0, "newer")
    assert only.row["mem_peak_bytes"] == 5e6, "memory missing in the newer run is taken from the older run"
    assert only.state == "satisfied"


def test_newer_failure_replaces_an_older_success():
    failed = replace(latency("a", 0, "oom", "no room"), session=2.0)
    result = recommend.recommend([journal(steady("a", 1.0)), journal(failed, name="newer")], QUERY)
    assert [candidate.state for candidate in result.machines[0].candidates] == ["not measured"]


@pytest.mark.parametrize(
    "other",
    [{"channels": 128}, {"batch": 2}, {"mode": "train"}, {"dtype": "bf16"}, {"threads": 2}, {"level": "model", "network": "mixer"}],
)
def test_other_settings_are_not_used(other):
    result = answer(steady("a", 1.0, **other))
    assert result.machines == () and result.recommended == []


def test_all_devices_are_used_unless_one_is_requested():
    cell = steady("a", 1.0, device="cuda:0", threads=4)
    assert labels(answer(cell).recommended) == ["a"], "threads are those of a CPU"
    assert answer(cell, device="cpu").machines == ()


def test_nearest_settings_are_listed():
    cells = (
        steady("a", 1.0, channels=128),
        steady("a", 1.0, channels=512),
        steady("a", 1.0, mode="train"),
        steady("a", 1.0, batch=64),
    )
    result = answer(*cells, latency("b", 0, "oom", channels=64, threads=2))
    assert [(row["channels"], row["mode"], row["batch"]) for row in result.nearest] == [
        (128, "infer", 1),
        (512, "infer", 1),
        (64, "train", 1),
    ]


def test_inconclusive_method_is_suggested_with_more_rounds():
    result = answer(steady("a", 1.0), steady("b", 9.0), max_latency_ms=1.0)
    command = recommend.suggested_command(result, "results/local")
    assert "--methods a " in command and "--rounds 50 --max-rounds 100" in command


def test_no_command_is_suggested_if_every_method_violates_a_limit():
    result = answer(steady("a", 5.0), max_latency_ms=1.0)
    assert (result.recommended, recommend.suggested_command(result, "results/local")) == ([], "")


def test_no_command_is_suggested_with_a_recommendation_here():
    assert recommend.suggested_command(answer(steady("a", 1.0)), "results/local") == ""


def test_recommendation_of_another_machine_still_suggests_a_command():
    there = ENV | {"id": "e2", "cpu": "Another"}
    result = answer(steady("a", 1.0, env="e2"), envs=(there,))
    assert labels(result.recommended) == ["a"]
    assert recommend.suggested_command(result, "results/local") == recommend.command(QUERY, "results/local")
    text = recommend_text.text(result, Path("results"), 132)
    assert "Not measured on this machine." in text and "To measure, run:" in text
    both = answer(steady("a", 1.0, env="e2"), steady("a", 10.0), envs=(ENV, there), max_latency_ms=10.0)
    assert labels(both.recommended) == ["a"] and not both.machines[0].recommended
    assert "--methods a " in recommend.suggested_command(both, "results/local"), "inconclusive on this machine"


def test_environment_is_described_by_the_run_of_the_newest_row():
    old = journal(steady("a", 1.0), envs=(ENV | {"commit": "old"},))
    new = journal(steady("b", 2.0, session=2.0), name="newer", envs=(ENV | {"commit": "new"},))
    other = journal(name="other", envs=(ENV | {"commit": "none of these"},))
    (answered,) = recommend.recommend([old, new, other], QUERY).machines
    assert answered.env["commit"] == "new"


def test_note_on_accuracies_names_only_differences():
    """Accuracies of digits at 16 px; requested is an operator at 56 px, then one at 16 px on the same machine."""
    result = answer(steady("a", 1.0), *seeded("a", 99.0, 98.0, 98.5), min_accuracy=90)
    text = recommend_text.text(result, Path("results"), 300)
    assert text.splitlines()[0].endswith("at least 90% on digits")
    assert "Accuracies are those of a network with the operator at 16 px: protocol digits 16 px" in text
    assert "environment e1." not in text
    trained = result.machines[0].trained
    assert " at 16 px:" not in recommend_text.accuracy_note(trained, query((16, 16)), "e1")
    assert recommend_text.accuracy_note(trained, QUERY, "e2").endswith(", environment e1.")


@pytest.mark.parametrize(("threads", "note"), [(1, "CPU time"), (2, "contended")])
def test_contended_measurement_has_a_short_note(threads, note):
    record = steady("a", 1.0, threads=threads)
    record.values["contended"] = 1
    text = recommend_text.text(answer(record, threads=threads), Path("results"), 132)
    (line,) = [line for line in text.splitlines() if line.startswith("a ")]
    assert line.endswith(f"  {note}")
