"""Accuracy on the leaderboard: means, ranks, effective reach and Pareto fronts of synthetic journals, computed by hand."""

from dataclasses import fields, replace

import pytest

from bench.journal import JOURNAL, read_journal
from bench.report.leaderboard import protocol, reach
from bench.report.text import points
from bench.spec import ORIGINAL, Cell, Evaluation, Job, Record, Timing, Training
from bench.tables.cells import tidy
from tests.builders import TASK, accuracy_page, rows, seeds, trained


def timed(method, ms):
    values = {"latency_ms": ms, "latency_lo_ms": ms, "latency_hi_ms": ms, "contended": 0}
    rounds = {"clean": [ms, ms * 1.001, ms]}
    return Record(Job(Cell(method, 8, 8), "latency", Timing(), "c"), "ok", "", values, rounds, env="e1")


def table_of(text, heading):
    """Return the lines of the table of a section, without the head."""
    part = text.split(f"### {heading}", 1)[1].split("\n### ", 1)[0]
    return rows(part)[1:]


def test_methods_are_ranked_by_mean_accuracy_with_ties(tmp_path):
    """c has mean 60 and standard deviation 1: half-width 4.303 / sqrt(3) = 2.48; a and b do not differ significantly."""
    text = accuracy_page(
        tmp_path,
        *seeds("c", 59.0, 60.0, 61.0),
        *seeds("a", 98.0, 99.0, 100.0),
        *seeds("b", 97.0, 98.0, 99.9),
        *seeds("at_chance", 49.0, 50.5, 51.0),
    )
    assert [line[:5] for line in table_of(text, "accuracy on")] == [
        ["1=", "`a`", "99.0 ±2.5", "3", "+49.0"],
        ["1=", "`b`", "98.3 ±3.7", "3", "+48.3"],
        ["3", "`c`", "60.0 ±2.5", "3", "+10.0"],
        ["4", "`at_chance`", "50.2 ±2.6", "3", "+0.2 n.s."],
    ]
    assert table_of(text, "accuracy on")[0][5:] == ["99.0", "0.02", "1,234", "12.0"]


def test_one_seed_is_always_tied(tmp_path):
    table = table_of(accuracy_page(tmp_path, *seeds("a", 99.0), *seeds("b", 50.0)), "accuracy on")
    assert [line[:3] for line in table] == [["1=", "`a`", "99.0"], ["1=", "`b`", "50.0"]]


def test_failed_seed_is_reported_and_has_no_rank(tmp_path):
    text = accuracy_page(
        tmp_path, *seeds("a", 99.0, 98.0), *seeds("b", 97.0), trained("b", None, 1, status="error", detail="step 3: <nan>")
    )
    assert table_of(text, "accuracy on")[-1][:4] == ["", "`b`", "*error*<sup>1</sup>", "2"]
    assert "<sup>1</sup> error: seed 1: step 3: &lt;nan>" in text


def test_table_of_failures_only(tmp_path):
    text = accuracy_page(tmp_path, trained("b", None, status="timeout", detail="300 s"))
    assert table_of(text, "accuracy on") == [["`b`", "*timeout*<sup>1</sup>", "1"]]


def test_each_protocol_has_a_table_and_a_description(tmp_path):
    searched = replace(TASK, lr=(0.005, 0.02), epochs=20, clip=1.0, channels_last=True)
    rounds = {"search_lr": [0.005, 0.02], "search_validation": [88.0, None]}
    text = accuracy_page(
        tmp_path, *seeds("a", 90.0), trained("a", 95.0, task=searched, rounds=rounds), trained("a", 96.0, network="mixer[depth=4]")
    )
    headings = [line for line in text.splitlines() if line.startswith("### accuracy")]
    assert headings == [
        "### accuracy on farpair[distance=6] at 32 px in mixer, cpu, 1 thread",
        "### accuracy on farpair[distance=6] at 32 px in mixer, cpu, 1 thread",
        "### accuracy on farpair[distance=6] at 32 px in mixer[depth=4], cpu, 1 thread",
    ]
    assert (
        "10 epochs, batch 32, adamw, learning rate 0.02, weight decay 0.05, cosine schedule after 1 epoch of warm-up, fp32." in text
    )
    best = "learning rate best of 0.005, 0.02 on the validation split after 2 epochs each"
    assert f"20 epochs, batch 32, adamw, {best}" in text
    assert "clip 1.0, channels last, fp32. Trivial accuracy: 50.0% (chance)." in text
    assert "0.02<sup>1</sup>" in text and "training diverged at learning rate 0.02" in text


OTHER = {"seconds": 60.0, "lr": (0.5,), "milestones": (3, 7), "decay_all": True, "channels_last": True}
OTHER |= dict.fromkeys(("data", "optimizer", "schedule", "augment", "dtype"), "another")
NOT_DESCRIBED = {"eval_res", "search_epochs"}  # separate table; described with several learning rates


@pytest.mark.parametrize("name", [field.name for field in fields(Training) if field.name not in NOT_DESCRIBED])
def test_every_setting_is_described(name):
    """The descriptions of two protocols that differ in one setting differ, not only the digests."""

    def description(task):
        return protocol.title(trained("a", 90.0, task=task), task.data) + protocol.settings_text(task, "10")

    assert description(TASK) != description(replace(TASK, **{name: OTHER[name] if name in OTHER else getattr(TASK, name) + 2}))


def test_effective_reach_is_sorted_and_has_the_receptive_field(tmp_path):
    """The receptive field of dwconv7 in two blocks is 13 px, of dwconv3 5 px; a failure ends the effective reach."""

    def at(distance):
        return replace(TASK, data=f"farpair[distance={distance}]")

    text = accuracy_page(
        tmp_path,
        *(r for d, mean in ((6, 100.0), (12, 90.0), (18, 50.0)) for r in seeds("dwconv7", mean - 1, mean, task=at(d))),
        *(r for d in (6, 12, 18) for r in seeds("dwconv3", 49.0, 51.0, task=at(d))),
        *(r for d in (6, 12, 18) for r in seeds("niff", 100.0, 100.0, task=at(d))),
        *seeds("afno", 88.0, 88.0, task=at(6)),
        trained("afno", None, task=at(12), status="oom", detail="no room"),
        *seeds("afno", 99.0, 99.0, task=at(18)),
    )
    assert table_of(text, "effective reach on farpair at 32 px in mixer") == [
        ["`niff`", "100.0 ±0.0", "100.0 ±0.0", "100.0 ±0.0", "18 or more", ""],
        ["`dwconv7`", "99.5 ±6.4", "89.5 ±6.4", "49.5 ±6.4", "12", "13"],
        ["`afno`", "88.0 ±0.0", "*oom*<sup>1</sup>", "99.0 ±0.0", "6", ""],
        ["`dwconv3`", "50.0 ±12.7", "50.0 ±12.7", "50.0 ±12.7", "below 6", "5"],
    ]
    assert "at least 87.5%, halfway from 75% to 100%" in " ".join(text.split())


def test_one_distance_gives_no_effective_reach(tmp_path):
    assert "### effective reach" not in accuracy_page(tmp_path, *seeds("a", 99.0))


def test_other_resolutions_have_changes_and_reasons_of_failures(tmp_path):
    task = replace(TASK, data="digits", res=16, eval_res=(16, 24, 32))
    ways = [
        [
            Evaluation(16, "", at_16),
            Evaluation(24, "native", at_16 - 10),
            Evaluation(32, "native", at_16 - 20),
            Evaluation(32, "pad|kernel", None, "oom", "no room: <16> MB"),
        ]
        for at_16 in (91.0, 93.0)
    ]
    text = accuracy_page(
        tmp_path,
        *(trained("niff", evals[0].accuracy, seed, task=task, evals=evals) for seed, evals in enumerate(ways)),
        trained("dwconv7", 99.0, task=task, evals=[Evaluation(24, "", 98.0), Evaluation(32, "", 90.5)]),
        trained("afno", None, task=task, status="error", detail="diverged"),
    )
    assert table_of(text, "other resolutions: digits at 16 px in mixer") == [
        ["`dwconv7`", "", "99.0", "98.0 (-1.0)", "90.5 (-8.5)"],
        ["`niff`", "native", "92.0 ±12.7", "82.0 ±12.7 (-10.0)", "72.0 ±12.7 (-20.0)"],
        ["`niff`", "pad\\", "kernel", "92.0 ±12.7", "", "*oom*<sup>1</sup>"],
        ["`afno`", "", "*error*<sup>2</sup>", "", ""],
    ], "`rows` splits cells at every bar, also an escaped one"
    assert "<sup>1</sup> oom: no room: &lt;16> MB" in text


def test_training_resolution_alone_gives_no_table(tmp_path):
    assert "### other resolutions" not in accuracy_page(tmp_path, trained("a", 90.0, evals=[Evaluation(32, "", 90.0)]))


def test_pareto_front_of_latency_and_accuracy_is_marked(tmp_path):
    """b is as accurate as a and slower; c is the slowest and the most accurate; d has no accuracy."""
    text = accuracy_page(
        tmp_path,
        *(timed(method, ms) for method, ms in (("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 4.0))),
        *seeds("a", 89.0, 91.0), *seeds("b", 90.0, 90.0), *seeds("c", 95.0, 95.0),
    )  # fmt: skip
    column = [line[-1] for line in table_of(text, "cpu, 1 thread")]
    assert column == ["90.0 ±12.7 ◆", "90.0 ±0.0", "**95.0 ±0.0** ◆", ""]
    assert "◆ Pareto front" in text
    table = tidy(read_journal(tmp_path / "run" / JOURNAL)).set_index("method")
    assert list(table["pareto"].fillna(-1)) == [1, 0, 1, -1]


def test_one_accuracy_gives_no_front(tmp_path):
    assert "◆" not in accuracy_page(
        tmp_path, timed("a", 1.0), timed("b", 2.0), *seeds("a", 89.0), trained("b", None, status="error")
    )


def test_run_of_accuracies_only_has_no_latency_table(tmp_path):
    text = accuracy_page(tmp_path, *seeds("a", 99.0))
    assert [line for line in text.splitlines() if line.startswith("###")] == [
        "### accuracy on farpair[distance=6] at 32 px in mixer, cpu, 1 thread"
    ]


def test_names_cannot_break_the_page(tmp_path):
    folder = replace(TASK, data="folder:/a|<b>*c")
    odd = trained("a|`b", 90.0, task=folder, accuracy_floor_of="<script>")
    text = accuracy_page(tmp_path, odd)
    assert "### accuracy on folder:/a|&lt;b>\\*c at 32 px" in text
    assert "`` a\\|`b ``" in text
    assert "<script>" not in text and "(&lt;script>)" in text


def test_published_networks_share_a_table(tmp_path):
    text = accuracy_page(
        tmp_path,
        *(trained(ORIGINAL, 90.0, network=name) for name in ("flexnet3", "flexnet7")),
        trained("niff", 91.0, network="resnet18"),
    )
    assert text.count("### accuracy on farpair[distance=6] at 32 px, cpu, 1 thread") == 1
    assert [line[1] for line in table_of(text, "accuracy on")] == ["`resnet18 + niff`", "`flexnet3`", "`flexnet7`"]


def test_trivial_accuracy_is_neither_bold_nor_on_the_front(tmp_path):
    """All accuracies are within the error of seeds and test images of the trivial accuracy."""
    text = accuracy_page(
        tmp_path,
        *(timed(method, ms) for method, ms in (("a", 1.0), ("b", 2.0), ("c", 3.0))),
        *seeds("a", 49.0, 52.0), *seeds("b", 49.5, 51.0), *seeds("c", 50.0, 50.4),
    )  # fmt: skip
    column = [line[-1] for line in table_of(text, "cpu, 1 thread")]
    assert column == ["50.5 ±19.1", "50.2 ±9.5", "50.2 ±2.5"]
    table = tidy(read_journal(tmp_path / "run" / JOURNAL))
    assert list(table["pareto"]) == [0, 0, 0]


def test_tables_of_farpair_state_the_local_bound(tmp_path):
    assert accuracy_page(tmp_path, *seeds("a", 99.0, 98.0)).count(reach.LOCAL_BOUND_NOTE) == 1
    assert reach.LOCAL_BOUND_NOTE not in accuracy_page(tmp_path / "other", *seeds("a", 99.0, task=replace(TASK, data="digits")))


@pytest.mark.parametrize(
    ("mid", "lo", "hi", "shown"),
    [(99.0, 96.5, 101.5, "99.0 ±2.5"), (38.5, -200.0, 277.0, "38.5 ±>50"), (1.0, float("nan"), float("nan"), "1.0")],
)
def test_half_width_is_not_clipped(mid, lo, hi, shown):
    assert points(mid, lo, hi) == shown
