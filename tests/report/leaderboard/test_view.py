"""Other views of the leaderboard: what it is ranked by, what splits its tables, what it is compared with."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.journal import Journal
from bench.plan import accuracy_cell
from bench.report.leaderboard.page import leaderboard
from bench.report.leaderboard.view import SPLITTING, View
from bench.spec import Cell, Energy, Job, Protocol, Record, Training
from bench.stats import ratios as comparison
from bench.tables.cells import complete_rows
from tests.report.leaderboard.test_page import ENV, at, latency, params, rows


def seeded(method, *percents):
    """Trainings of a method, one a seed."""
    for seed, percent in enumerate(percents):
        task = Training()
        cell = replace(accuracy_cell(Cell(method, 56, 56), task), seed=seed)
        yield Record(Job(cell, "accuracy", task, "c"), "ok", "", {"accuracy": percent}, env="e1")


def energy(method, joule, share=0.1):
    values = {"energy_j": joule, "energy_lo_j": joule * (1 - share), "energy_hi_j": joule * (1 + share)}
    return Record(Job(Cell(method, 56, 56), "energy", Energy(), "c"), "ok", "", values, env="e1")


def ranked(view, *records):
    """[(place, method), ...] of one run in a view."""
    return [tuple(line[:2]) for line in rows(viewed(view, *records))[1:] if line[1].startswith("`")]


def viewed(view, *records, baseline="dwconv7"):
    run = {"command": "x", "started": 1.0, "baseline": baseline}
    journal = Journal(Path("results/mine/journal.jsonl"), {record.job.key(): record for record in records}, {"e1": ENV}, [run])
    return leaderboard([journal], view=view)


def test_equal_counts_share_a_place_and_what_has_none_goes_last():
    counts = params("a", 9), params("b", 5), params("c", 9), params("d", 12)
    timed = (
        latency("a", 1.0),
        latency("b", 9.0),
        latency("c", 0.5),
        latency("d", 2.0),
        latency("none", 0.1),
        latency("gone", 0, "oom"),
    )
    assert ranked(View("params_count"), *counts, *timed) == [
        ("1", "`b`"),
        ("2=", "`c`"),
        ("2=", "`a`"),
        ("4", "`d`"),
        ("", "`none`"),
        ("", "`gone`"),
    ]


def test_a_column_that_is_better_when_higher_is_ranked_from_above():
    timed = [latency(method, ms) for method, ms in (("dwconv7", 1.0), ("fast", 0.5), ("slow", 4.0))]
    assert ranked(View("speedup"), *timed) == [("1", "`fast`"), ("2", "`dwconv7`"), ("3", "`slow`")]


def test_accuracies_share_a_place_where_welchs_test_does_not_tell_them_apart():
    """As in the tables of accuracy: against the first of the place, with one seed never."""
    trained = [*seeded("a", 90.0, 91.0, 92.0), *seeded("b", 89.5, 91.0, 91.5), *seeded("c", 70.0, 71.0, 72.0), *seeded("d", 10.0)]
    timed = [latency(method, 1.0) for method in "abcd"]
    assert ranked(View("accuracy"), *trained, *timed)[:4] == [("1=", "`a`"), ("1=", "`b`"), ("3=", "`c`"), ("3=", "`d`")]


def test_intervals_that_overlap_share_a_place():
    used = energy("a", 1.0), energy("b", 1.15), energy("c", 1.25), energy("d", 3.0)
    places = ranked(View("energy_j"), *used)
    assert places == [("1=", "`a`"), ("1=", "`b`"), ("3", "`c`"), ("4", "`d`")]


def test_a_missing_interval_tells_nothing_apart():
    bare = energy("b", 9.0)
    bare.values.update(energy_lo_j=None, energy_hi_j=None)
    assert ranked(View("energy_j"), energy("a", 1.0), bare) == [("1=", "`a`"), ("1=", "`b`")]


def test_the_page_says_what_it_is_ranked_by_and_that_it_is_not_the_usual_one():
    text = viewed(View("flops", ("res", "mode"), "niff"), latency("niff", 1.0))
    assert "made with `python -m bench report --sort flops --group res,mode --baseline niff`" in text
    assert "Methods are ranked by `flops` (real operations" in text and "the lower the better; equal values share a place" in text
    assert "Methods are ranked by latency" not in text
    usual = viewed(View(), latency("niff", 1.0))
    assert "Not the usual page" not in usual and "Methods are ranked by latency" in usual


def test_the_order_of_the_axes_makes_no_other_view():
    assert View(group=tuple(reversed(SPLITTING))).options == ""


def test_a_column_of_its_own_is_shown_where_the_table_has_none():
    text = viewed(View("mem_rss_bytes"), latency("a", 1.0), memory("a", 3e6), memory("b", 2e6))
    head, first, second = rows(text)
    assert head[-1] == "mem_rss_bytes, MB"
    assert [first[:2], first[-1]] == [["1", "`b`"], "2.00"]
    assert [second[:2], second[-1]] == [["2", "`a`"], "3.00"]


def memory(method, size):
    return Record(Job(Cell(method, 56, 56), "memory", Protocol(), "c"), "ok", "", {"mem_rss_bytes": size}, env="e1")


def test_axes_that_do_not_split_become_columns():
    cells = latency("a", 1.0), latency("a", 4.0, channels=128), latency("dwconv7", 2.0), latency("dwconv7", 4.0, channels=128)
    text = viewed(View(group=("res", "batch", "threads", "dtype", "mode")), *cells)
    assert "### cpu, 1 thread, fp32, inference, batch 1\n" in text
    head, *lines = rows(text)
    assert head[:3] == ["#", "method", "channels"]
    assert [(line[0], line[1], line[2]) for line in lines] == [
        ("1", "`a`", "64"),
        ("2", "`dwconv7`", "64"),
        ("3=", "`a`", "128"),
        ("3=", "`dwconv7`", "128"),
    ]
    assert [line[4] for line in lines] == ["2.00x ±0.0%", "1", "1.00x ±0.0%", "1"], "each beside the baseline of its own setting"


def test_without_the_resolution_there_is_one_table_a_setting():
    text = viewed(View(group=("channels",)), latency("a", 1.0), at(28, latency("a", 0.5)))
    assert "####" not in text
    assert [line[:3] for line in rows(text)] == [["#", "method", "res, px"], ["1", "`a`", "28"], ["2", "`a`", "56"]]


def test_rounds_of_two_settings_are_not_paired():
    """Round by round one is 3% slower; but the rounds were not those of one group, and they spread by more."""
    noisy = [1.0, 1.4, 1.0, 1.4, 1.0, 1.4, 1.0, 1.4]

    def record(factor, **cell):
        one = latency("a", factor, **cell)
        return replace(one, rounds={clock: [factor * ms for ms in noisy] for clock in ("clean", "cpu", "wall")})

    same = record(1.0), replace(record(1.03), job=latency("b", 1.0).job)
    assert ranked(View(group=("res",)), *same) == [("1", "`a`"), ("2", "`b`")]
    assert ranked(View(group=("res",)), record(1.0), record(1.03, channels=128)) == [("1=", "`a`"), ("1=", "`a`")]


def test_kernel_sizes_may_split():
    text = viewed(
        View(group=("res", "kernel")), latency("dwconv", 1.0, kernel=7), latency("dwconv", 2.0, kernel=31), latency("a", 3.0)
    )
    headings = [line for line in text.splitlines() if line.startswith("####")]
    assert headings == ["#### 56 px, kernel size 7", "#### 56 px, kernel size 31", "#### 56 px, no kernel size set"]
    assert {line[0] for line in rows(text) if line[0] != "#"} == {"1"}


def test_environments_are_never_compared_in_one_table():
    other = replace(latency("b", 2.0), env="e2")
    text = viewed(View(group=("mode",)), latency("a", 1.0), other)
    assert [line[:2] for line in rows(text)] == [["#", "method"], ["1", "`a`"], ["#", "method"], ["1", "`b`"]]


def test_another_baseline_is_compared_with():
    text = viewed(View(baseline="a"), latency("a", 1.0), latency("dwconv7", 2.0))
    assert [line[3] for line in rows(text)] == ["vs a", "1", "0.500x ±0.0%"]


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        ({"sort": "latency"}, "did you mean 'latency_ms'"),
        ({"sort": "method"}, "no column of that name has a better direction"),
        ({"group": ("res", "device")}, "--group device: not one of res, channels, batch, kernel"),
    ],
)
def test_views_that_cannot_be_had(view, reason):
    with pytest.raises(ValueError, match=reason):
        View(**view)


def test_only_a_column_with_an_interval_shows_one():
    """The interval of latency_ms is none of its fastest sample; an energy has one of its own."""
    record = latency("a", 1.0)
    record.values["latency_min_ms"] = 0.8
    head, line = rows(viewed(View("latency_min_ms"), record))
    assert dict(zip(head, line)) == {"#": "1", "method": "`a`", "latency, ms": "1.00 ±9.5%", "latency_min_ms, ms": "0.800"}
    head, line = rows(viewed(View("energy_j"), energy("a", 1.0, 0.25)))
    assert dict(zip(head, line))["energy_j, J"] == "1.00 ±25%"


def test_numbers_of_threads_are_compared_by_the_clock_of_each():
    """Processor time, which stands in for one thread, adds up over four: by it the faster of the two would be the slower."""
    alone, four = latency("a", 2.0), latency("a", 1.0, threads=4)
    alone.values["contended"] = 1
    alone = replace(alone, rounds={"clean": [9.0] * 3, "cpu": [2.0, 2.002, 2.0], "wall": [3.5] * 3})
    four = replace(four, rounds={"clean": [1.0, 1.001, 1.0], "cpu": [4.0] * 3, "wall": [8.0] * 3})
    assert comparison.ratio(comparison.timing_of(alone), comparison.timing_of(four)).mid == pytest.approx(2, rel=1e-3)
    lines = rows(viewed(View(group=("res",)), alone, four))
    assert [line[:3] for line in lines] == [["#", "method", "threads"], ["1", "`a`", "4"], ["2", "`a`", "1"]]


def test_a_noisy_column_without_an_interval_says_that_places_are_by_the_figure_alone():
    noisy = viewed(View("latency_min_ms"), latency("a", 1.0))
    assert "no interval of it is known: places are by the figure alone, and equal values share a place" in noisy
    assert "no interval" not in viewed(View("flops"), latency("a", 1.0))


def test_shares_of_the_limit_are_told_apart_by_the_rounds():
    """Rounds say that b is a third slower than a; beside a limit that is a third larger it is as near to it."""
    limited = [row | {"limit_ms": limit} for row, limit in zip(rows_of(1.0, 4 / 3, 4 / 3), (0.5, 2 / 3, 0.5))]
    for row in limited:
        row["pct_of_limit"] = 100 * row["limit_ms"] / row["latency_ms"]
    view = View("pct_of_limit")
    ordered, _ = view.ranked(limited)
    assert [row["method"] for row in ordered][-1] == "c"
    assert view.places(ordered) == [1, 1, 3]


def rows_of(*latencies):
    """Rows of the methods a, b, ... at these latencies, with rounds that agree to 0.1%."""
    records = [latency(method, ms) for method, ms in zip("abc", latencies)]
    return complete_rows(Journal(Path("results/mine/journal.jsonl"), {record.job.key(): record for record in records}, {"e1": ENV}))
