"""An answer comes from cells of the wanted setting alone, machine by machine, or says what must be run."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.journal import Journal
from bench.plan import accuracy_cell
from bench.report.recommend import answer as recommend
from bench.report.recommend import text as recommend_text
from bench.report.recommend.answer import Query
from bench.spec import Cell, Job, Protocol, Record, Training
from bench.system import machine
from tests.report.leaderboard.test_page import ENV, latency

WISH = Query(56, 56, 64)


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """The machine of `ENV`."""
    monkeypatch.setattr(machine, "hardware", lambda: {"cpu": "Processor", "cores": 2})


def steady(method, ms, half=0.01, session=1.0, env="e1", **cell):
    """A latency of eight equal rounds, its interval `half` as a share to each side."""
    record = latency(method, ms, **cell)
    record.values.update(latency_lo_ms=ms * (1 - half), latency_hi_ms=ms * (1 + half), rounds=8, timer="wall")
    rounds = {clock: [ms] * 8 for clock in ("clean", "cpu", "wall")}
    return replace(record, rounds=rounds, session=session, env=env)


def memory(method, size, status="ok", env="e1", session=1.0):
    values = {"mem_peak_bytes": size} if status == "ok" else {}
    detail = "" if status == "ok" else "no room"
    return Record(Job(Cell(method, 56, 56), "memory", Protocol(), "c"), status, detail, values, env=env, session=session)


def seeded(method, *percents, data="digits", env="e1"):
    task = replace(Training(), data=data)
    for seed, percent in enumerate(percents):
        cell = replace(accuracy_cell(Cell(method, 56, 56), task), seed=seed)
        status = "ok" if percent is not None else "oom"
        values = {} if percent is None else {"accuracy": percent}
        yield Record(Job(cell, "accuracy", task, "c"), status, "", values, env=env, started=float(seed))


def journal(*records, name="run", envs=(ENV,)):
    runs = [{"command": "x", "started": 1.0, "baseline": "dwconv7"}]
    found = {f"{number} {record.job.key()}": record for number, record in enumerate(records)}
    return Journal(Path(f"results/{name}/journal.jsonl"), found, {env["id"]: env for env in envs}, runs)


def answer(*records, envs=(ENV,), **limits):
    return recommend.recommend([journal(*records, envs=envs)], replace(WISH, **limits))


def labels(candidates):
    return [candidate.label for candidate in candidates]


def states(found):
    (place,) = found.places
    return {candidate.label: candidate.state for candidate in place.candidates}


def test_the_fastest_is_recommended_and_the_others_follow():
    found = answer(steady("slow", 4.0), steady("dwconv7", 1.0), steady("fast", 0.5))
    assert labels(found.recommended) == ["fast"]
    assert labels(found.places[0].candidates) == ["fast", "dwconv7", "slow"]


def test_those_that_the_rounds_do_not_tell_apart_are_recommended_together():
    found = answer(steady("a", 1.0), steady("b", 1.015), steady("c", 1.1))
    assert labels(found.recommended) == ["a", "b"], "1.5% is within the region of practical equivalence"


@pytest.mark.parametrize(("ms", "state"), [(0.98, "kept"), (1.0, "unclear"), (1.02, "broken")])
def test_a_latency_keeps_its_limit_where_its_whole_interval_does(ms, state):
    found = answer(steady("a", ms), max_latency_ms=1.0)
    assert states(found) == {"a": state}
    assert labels(found.recommended) == (["a"] if state == "kept" else [])


def test_a_latency_without_an_interval_is_unclear_where_there_is_a_limit():
    bare = steady("a", 0.1)
    bare.values.update(latency_lo_ms=None, latency_hi_ms=None)
    assert states(answer(bare, max_latency_ms=1.0)) == {"a": "unclear"}
    assert states(answer(bare)) == {"a": "kept"}


def test_memory_is_exact_and_a_missing_one_is_named():
    sizes = memory("fits", 1e6), memory("big", 1e6 + 1), memory("failed", 0, "oom")
    found = answer(*sizes, *(steady(name, 1.0) for name in ("fits", "big", "failed", "never")), max_memory=1e6)
    assert states(found) == {"fits": "kept", "big": "broken", "failed": "unknown", "never": "unknown"}
    reasons = {one.label: recommend_text.reason(one) for one in found.places[0].candidates}
    assert reasons["failed"] == "memory oom: no room"
    assert reasons["never"] == "memory not measured"


def test_a_latency_that_failed_is_named():
    found = answer(steady("a", 1.0), latency("dead", 0, "skipped", "would take 300 s"))
    assert states(found) == {"a": "kept", "dead": "unknown"}
    assert recommend_text.reason(found.places[0].candidates[-1]) == "latency skipped: would take 300 s"


def test_an_accuracy_keeps_its_limit_where_its_whole_interval_over_seeds_does():
    trained = [
        *seeded("sure", 95.0, 95.1, 95.2),
        *seeded("near", 88.0, 92.0, 96.0),
        *seeded("low", 50.0, 51.0),
        *seeded("one", 99.0),
    ]
    timed = [steady(name, 1.0) for name in ("sure", "near", "low", "one", "untrained")]
    found = answer(*trained, *timed, min_accuracy=90)
    assert states(found) == {"sure": "kept", "near": "unclear", "low": "broken", "one": "unclear", "untrained": "unknown"}
    assert states(answer(*trained, *timed, min_accuracy=56))["low"] == "unclear", "50.5 ± 12.7 * 0.5 with two seeds"
    assert found.places[0].contest.startswith("digits 16 px")


def test_a_seed_that_failed_leaves_no_accuracy():
    found = answer(steady("a", 1.0), *seeded("a", 99.0, None, 99.0), min_accuracy=90)
    assert states(found) == {"a": "unknown"}
    assert "seed 1" in recommend_text.reason(found.places[0].candidates[0])


def test_accuracies_of_one_task_alone_are_compared():
    """The task that more methods were trained on, unless one is named; never one method's by this and another's by that."""
    trained = [*seeded("a", 99.0, 99.0), *seeded("b", 99.0, 99.0), *seeded("a", 60.0, 60.0, data="farpair")]
    timed = [steady("a", 1.0), steady("b", 2.0)]
    assert states(answer(*trained, *timed, min_accuracy=90)) == {"a": "kept", "b": "kept"}
    farther = answer(*trained, *timed, min_accuracy=90, data="farpair")
    assert states(farther) == {"a": "broken", "b": "unknown"}
    assert farther.tasks == ("digits", "farpair")


def test_several_seeds_of_fewer_methods_say_more_than_one_of_many():
    many = [record for name in "abc" for record in seeded(name, 99.0)]
    trained = [*many, *seeded("a", 95.0, 95.0, data="farpair")]
    found = answer(*trained, *(steady(name, 1.0) for name in "abc"), min_accuracy=90)
    assert states(found)["a"] == "kept"
    assert found.places[0].contest.startswith("farpair")


def test_machines_are_answered_for_one_by_one():
    """This machine first, though the other was measured later and is faster."""
    there = ENV | {"id": "e2", "cpu": "Another"}
    found = answer(steady("a", 1.0), steady("b", 2.0), steady("b", 0.1, session=9.0, env="e2"), envs=(ENV, there))
    assert [(place.env["id"], place.here, labels(place.recommended)) for place in found.places] == [
        ("e1", True, ["a"]),
        ("e2", False, ["b"]),
    ]


def test_of_unknown_machines_the_newest_is_first(monkeypatch):
    monkeypatch.setattr(machine, "hardware", lambda: {"cpu": "Neither"})
    found = answer(steady("a", 1.0), steady("a", 1.0, session=9.0, env="e2"), envs=(ENV, ENV | {"id": "e2"}))
    assert [place.env["id"] for place in found.places] == ["e2", "e1"]


def test_the_newest_measurement_of_a_method_counts():
    old, new = journal(steady("a", 1.0), memory("a", 5e6)), journal(steady("a", 3.0, session=2.0), name="newer")
    found = recommend.recommend([new, old], replace(WISH, max_memory=6e6))
    (only,) = found.places[0].candidates
    assert (only.row["latency_ms"], only.row["run"]) == (3.0, "newer")
    assert only.row["mem_peak_bytes"] == 5e6, "what the newer run did not measure is the older one's"
    assert only.state == "kept"


def test_a_newer_failure_is_not_covered_by_an_older_success():
    failed = replace(latency("a", 0, "oom", "no room"), session=2.0)
    found = recommend.recommend([journal(steady("a", 1.0)), journal(failed, name="newer")], WISH)
    assert [one.state for one in found.places[0].candidates] == ["unknown"]


@pytest.mark.parametrize(
    "other",
    [{"channels": 128}, {"batch": 2}, {"mode": "train"}, {"dtype": "bf16"}, {"threads": 2}, {"level": "model", "network": "mixer"}],
)
def test_no_other_setting_speaks(other):
    found = answer(steady("a", 1.0, **other))
    assert found.places == () and found.recommended == []


def test_another_device_speaks_unless_one_is_wanted():
    cell = steady("a", 1.0, device="cuda:0", threads=4)
    assert labels(answer(cell).recommended) == ["a"], "threads are those of a CPU"
    assert answer(cell, device="cpu").places == ()


def test_the_nearest_settings_are_a_hint():
    cells = (
        steady("a", 1.0, channels=128),
        steady("a", 1.0, channels=512),
        steady("a", 1.0, mode="train"),
        steady("a", 1.0, batch=64),
    )
    found = answer(*cells, latency("b", 0, "oom", channels=64, threads=2))
    assert [(row["channels"], row["mode"], row["batch"]) for row in found.nearest] == [
        (128, "infer", 1),
        (512, "infer", 1),
        (64, "train", 1),
    ]


def test_an_unclear_method_is_to_be_measured_closer():
    found = answer(steady("a", 1.0), steady("b", 9.0), max_latency_ms=1.0)
    todo = recommend.missing_run(found, "results/local")
    assert "--methods a " in todo and "--rounds 50 --max-rounds 100" in todo


def test_where_every_method_is_outside_a_limit_nothing_is_to_be_run():
    found = answer(steady("a", 5.0), max_latency_ms=1.0)
    assert (found.recommended, recommend.missing_run(found, "results/local")) == ([], "")


def test_the_fastest_here_leaves_nothing_to_be_run():
    assert recommend.missing_run(answer(steady("a", 1.0)), "results/local") == ""


def test_what_is_recommended_elsewhere_is_still_to_be_measured_here():
    there = ENV | {"id": "e2", "cpu": "Another"}
    found = answer(steady("a", 1.0, env="e2"), envs=(there,))
    assert labels(found.recommended) == ["a"]
    assert recommend.missing_run(found, "results/local") == recommend.command(WISH, "results/local")
    told = recommend_text.text(found, Path("results"), 132)
    assert "Not measured on this machine." in told and "To find out, run:" in told
    both = answer(steady("a", 1.0, env="e2"), steady("a", 10.0), envs=(ENV, there), max_latency_ms=10.0)
    assert labels(both.recommended) == ["a"] and not both.places[0].recommended
    assert "--methods a " in recommend.missing_run(both, "results/local"), "unclear on this machine"


def test_an_environment_is_described_by_the_run_that_measured_there():
    old = journal(steady("a", 1.0), envs=(ENV | {"commit": "old"},))
    new = journal(steady("b", 2.0, session=2.0), name="newer", envs=(ENV | {"commit": "new"},))
    other = journal(name="other", envs=(ENV | {"commit": "none of these"},))
    (place,) = recommend.recommend([old, new, other], WISH).places
    assert place.env["commit"] == "new"


def test_of_accuracies_only_what_differs_is_named():
    """They are of digits at 16 px; asked for is an operator at 56 px, then one at 16 px on the same machine."""
    found = answer(steady("a", 1.0), *seeded("a", 99.0, 98.0, 98.5), min_accuracy=90)
    text = recommend_text.text(found, Path("results"), 300)
    assert text.splitlines()[0].endswith("at least 90% on digits")
    assert "Accuracies are of a network with the operator inside at 16 px: protocol digits 16 px" in text
    assert "environment e1." not in text
    trained = found.places[0].trained
    assert " at 16 px:" not in recommend_text.foreign(trained, replace(WISH, height=16, width=16), "e1")
    assert recommend_text.foreign(trained, WISH, "e2").endswith(", environment e1.")
