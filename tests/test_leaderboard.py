"""The page ranks, compares with the baseline, and hides no failure."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench import store
from bench.columns import ACCURACIES, COLUMNS, METRICS
from bench.plan import accuracy_cell
from bench.report.dictionary import dictionary
from bench.report.gallery import pictures
from bench.report.leaderboard import leaderboard
from bench.report.ranking import without_empty
from bench.report.text import Footnotes, escape, short, write_generated
from bench.report.view import SPLITTING, View
from bench.spec import Cell, Energy, Job, Protocol, Record, Timing, Training
from bench.store import Journal

ENV = {
    "id": "e1",
    "cpu": "Processor",
    "cores": 2,
    "memory_gb": 8,
    "cpu_capability": "AVX2",
    "gpus": [],
    "torch": "2.9",
    "python": "3.11",
}
ENV |= {"os": "Linux", "malloc": "tuned", "commit": None}


def latency(method, ms, status="ok", detail="", **cell):
    values = {"latency_ms": ms, "latency_lo_ms": ms / 1.1, "latency_hi_ms": ms * 1.1, "contended": 0} if status == "ok" else {}
    rounds = {clock: [ms, ms * 1.001, ms] for clock in ("clean", "cpu", "wall")} if values else {}
    return Record(Job(Cell(method, 56, 56, **cell), "latency", Timing(), "c"), status, detail, values, rounds, env="e1")


def params(method, count):
    return Record(Job(Cell(method, 56, 56), "params", Protocol(), "c"), "ok", "", {"params_count": count}, env="e1")


def page(tmp_path, *records, name="mine", started=1.0):
    path = tmp_path / name / store.NAME
    with store.Writer(path) as writer:
        writer.env(ENV)
        writer.run({"command": f"python -m bench run {name}", "started": started, "baseline": "dwconv7"})
        for record in records:
            writer.record(record)
    return leaderboard([store.read(path) for path in sorted(tmp_path.glob("*/journal.jsonl"))])


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]


def test_methods_are_ranked_and_compared_with_the_baseline(tmp_path):
    table = rows(page(tmp_path, latency("slow", 4.0), latency("dwconv7", 1.0), latency("fast", 0.5)))
    assert [line[:5] for line in table[-3:]] == [
        ["1", "`fast`", "", "**0.500 ±9.5%**", "2.00x ±0.0%"],
        ["2", "`dwconv7`", "", "1.00 ±9.5%", "1"],
        ["3", "`slow`", "", "4.00 ±9.5%", "0.250x ±0.0%"],
    ]


def test_a_failure_is_a_row_with_its_status_and_a_footnote(tmp_path):
    text = page(
        tmp_path, latency("fine", 1.0), latency("bad", 0, "crashed", "killed by SIGSEGV"), latency("big", 0, "oom", "a|b <c>")
    )
    table = rows(text)
    assert table[-2][:5] == ["", "`bad`", "", "*crashed*<sup>1</sup>", ""]
    assert "<sup>1</sup> crashed: killed by SIGSEGV" in text
    assert "<sup>2</sup> oom: a\\|b &lt;c&gt;" in text


def test_a_method_that_did_not_run_is_not_the_best_of_a_column(tmp_path):
    text = page(
        tmp_path,
        latency("a", 1.0),
        latency("b", 2.0),
        latency("dead", 0, "timeout"),
        params("a", 9),
        params("b", 7),
        params("dead", 0),
    )
    assert "**7**" in text
    assert "**0**" not in text


def test_settings_are_apart_and_the_newest_run_comes_first(tmp_path):
    page(tmp_path, latency("a", 1.0), latency("a", 1.0, mode="train"), latency("a", 1.0, channels=128), name="old", started=1.0)
    text = page(tmp_path, latency("a", 1.0), name="new", started=2.0)
    headings = [line for line in text.splitlines() if line.startswith("##") and not line.startswith("####")]
    assert headings == [
        "## new",
        "### cpu, 1 thread, fp32, inference, batch 1, 64 channels",
        "## old",
        "### cpu, 1 thread, fp32, inference, batch 1, 64 channels",
        "### cpu, 1 thread, fp32, training step, batch 1, 64 channels",
        "### cpu, 1 thread, fp32, inference, batch 1, 128 channels",
    ]


def test_it_says_where_and_how(tmp_path):
    text = page(tmp_path, latency("a", 1.0))
    assert "Reproduce: `python -m bench run mine`" in text
    assert "Processor (2 cores, 8 GB, AVX2), GPU none, torch 2.9, Python 3.11" in text


def test_processor_time_is_marked(tmp_path):
    record = latency("a", 1.0)
    record.values["contended"] = 1
    assert "±9.5%<sup>1</sup>" in page(tmp_path, record)


def test_a_method_of_another_session_is_not_said_to_be_interleaved(tmp_path):
    later = replace(latency("later", 2.0), session=9.0)
    text = page(tmp_path, latency("dwconv7", 1.0), latency("beside", 2.0), later)
    table = {line[1]: line[4] for line in rows(text)}
    assert table["`beside`"] == "0.500x ±0.0%"
    assert table["`later`"] == "0.500x ±0.1%<sup>1</sup>"
    assert "another session than the baseline" in text


def test_seeds_have_sections_of_their_own(tmp_path):
    text = page(tmp_path, latency("dwconv7", 1.0), latency("dwconv7", 2.0, seed=1), latency("a", 4.0, seed=1))
    assert "64 channels, seed 1" in text
    assert {line[1]: line[4] for line in rows(text)[-2:]} == {"`dwconv7`": "1", "`a`": "0.500x ±0.0%"}


def test_networks_say_what_their_channels_are(tmp_path):
    text = page(tmp_path, latency("niff", 1.0, level="model", network="resnet18", channels=3))
    assert "batch 1, networks of 1000 classes, 3 image channels" in text
    assert rows(text)[-1][1] == "`resnet18 + niff`"


def test_without_the_baseline_nothing_is_compared(tmp_path):
    assert rows(page(tmp_path, latency("a", 1.0)))[-1][4] == ""


def test_every_column_is_explained():
    text = dictionary()
    assert all(f"`{column.name}`" in text and column.meaning in text for column in (*COLUMNS, *ACCURACIES))
    assert set(METRICS) == {"params", "flops", "latency", "memory", "energy", "accuracy", "properties"}


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0012345, "0.00123"), (1.0, "1.00"), (12.34, "12.3"), (99.96, "100.0"), (123456.7, "123,457"), (0, "0"), (None, "")],
)
def test_three_significant_digits(number, text):
    assert short(number) == text


def test_a_hand_written_file_is_not_replaced(tmp_path):
    mine = tmp_path / "LEADERBOARD.md"
    mine.write_text("by hand")
    with pytest.raises(ValueError, match="not generated"):
        write_generated(mine, "new")
    assert mine.read_text() == "by hand"
    mine.unlink()
    write_generated(mine, "first")
    assert write_generated(mine, "second").read_text().startswith("second")


def test_footnotes_repeat_their_number():
    notes = Footnotes()
    assert [notes.mark("a"), notes.mark("b"), notes.mark("a")] == ["<sup>1</sup>", "<sup>2</sup>", "<sup>1</sup>"]
    assert notes.lines()[1].startswith("<sup>2</sup> b")
    assert escape("<img>|a") == "&lt;img&gt;\\|a"


def test_columns_that_no_method_fills_are_left_out():
    assert without_empty([{"#": "", "method": "a", "GMAC": "1"}, {"#": "", "method": "b", "GMAC": ""}]) == [
        {"method": "a", "GMAC": "1"},
        {"method": "b", "GMAC": ""},
    ]


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
    assert [line[5] for line in lines] == ["2.00x ±0.0%", "1", "1.00x ±0.0%", "1"], "each beside the baseline of its own setting"


def test_without_the_resolution_there_is_one_table_a_setting():
    text = viewed(View(group=("channels",)), latency("a", 1.0), at(28, latency("a", 0.5)))
    assert "####" not in text
    assert [line[:3] for line in rows(text)] == [["#", "method", "res, px"], ["1", "`a`", "28"], ["2", "`a`", "56"]]


def at(side, record):
    return replace(record, job=replace(record.job, cell=replace(record.job.cell, height=side, width=side)))


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
    assert [line[4] for line in rows(text)] == ["vs a", "1", "0.500x ±0.0%"]


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


def test_the_contents_link_to_every_run_and_analysis(tmp_path):
    page(tmp_path, latency("a", 1.0), at(28, latency("b", 1.0)), name="my run.1")
    text = leaderboard([store.read(tmp_path / "my run.1" / store.NAME)], analyses=["what it saw/ANALYSIS.md"])
    assert "- [my run.1](#my-run1): 2 operators at 28 to 56 px on cpu\n" in text
    assert "- Analyses: [what it saw](what%20it%20saw/ANALYSIS.md)" in text


def test_the_most_telling_figures_are_shown_and_the_others_linked():
    names = [
        "latency-channels_cpu",
        "latency-resolution_cpu_c16",
        "latency-resolution_cpu_c64",
        "winners_cpu",
        "reach_farpair_16px",
    ]
    paths = [f"run/figures/{name}.svg" for name in (*names, "crossover-1_cpu", "crossover-2_cpu", "pareto_cpu")]
    text = "\n".join(pictures(paths))
    assert re.findall(r"!\[.*?\]\(run/figures/(.*?)\.svg\)", text) == ["reach_farpair_16px", "winners_cpu", "pareto_cpu"]
    linked = re.findall(r"(?<!!)\[[^\]]*\]\((.*?)\)", text)
    assert sorted(linked) == sorted(path for path in paths if not re.search("reach|winners|pareto", path))
    assert "- latency against resolution: [cpu, c16](" in text
    assert list(pictures([])) == []
