"""The leaderboard ranks methods, compares them with the baseline, and lists every failure."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.columns import ACCURACY_COLUMNS, COLUMNS, METRICS
from bench.journal import JOURNAL, Writer, read_journal
from bench.report import markdown
from bench.report.blocks import Footnotes, Mark
from bench.report.data_dictionary import dictionary
from bench.report.leaderboard.gallery import gallery
from bench.report.leaderboard.page import leaderboard
from bench.report.leaderboard.ranking import without_empty
from bench.report.manifest import Figure
from bench.report.text import short, write_generated
from bench.tables.cells import complete_rows
from tests.builders import ENV, at, latency, params, rows


def page(tmp_path, *records, name="mine", started=1.0):
    path = tmp_path / name / JOURNAL
    with Writer(path) as writer:
        writer.env(ENV)
        writer.run({"command": f"python -m bench run {name}", "started": started, "baseline": "dwconv7"})
        for record in records:
            writer.record(record)
    journals = [read_journal(path) for path in sorted(tmp_path.glob("*/journal.jsonl"))]
    return leaderboard(journals, list(map(complete_rows, journals)))


def test_methods_are_ranked_and_compared_with_the_baseline(tmp_path):
    table = rows(page(tmp_path, latency("slow", 4.0), latency("dwconv7", 1.0), latency("fast", 0.5)))
    assert [line[:4] for line in table[-3:]] == [
        ["1", "`fast`", "**0.500 ±9.5%**", "2.00x ±0.0%"],
        ["2", "`dwconv7`", "1.00 ±9.5%", "1"],
        ["3", "`slow`", "4.00 ±9.5%", "0.250x ±0.0%"],
    ]


def test_failure_is_a_row_with_status_and_footnote(tmp_path):
    text = page(
        tmp_path, latency("fine", 1.0), latency("bad", 0, "crashed", "killed by SIGSEGV"), latency("big", 0, "oom", "a|b <c>")
    )
    table = rows(text)
    assert table[-2] == ["", "`bad`", "*crashed*<sup>1</sup>"]
    assert "<sup>1</sup> crashed: killed by SIGSEGV" in text
    assert "<sup>2</sup> oom: a|b &lt;c>" in text


def test_failed_method_is_never_the_best_of_a_column(tmp_path):
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


def test_settings_have_sections_and_the_newest_run_is_first(tmp_path):
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


def test_provenance_is_shown(tmp_path):
    text = page(tmp_path, latency("a", 1.0))
    assert "Reproduce: `python -m bench run mine`" in text
    assert "Processor (2 cores, 8 GB, AVX2), GPU none, torch 2.9, Python 3.11" in text


def test_cpu_time_is_marked(tmp_path):
    record = latency("a", 1.0)
    record.values["contended"] = 1
    text = page(tmp_path, record)
    assert "±9.5%<sup>1</sup>" in text and "CPU time: too few samples without a context switch" in text


def test_method_of_another_session_has_a_footnote(tmp_path):
    later = replace(latency("later", 2.0), session=9.0)
    text = page(tmp_path, latency("dwconv7", 1.0), latency("same_session", 2.0), later)
    table = {line[1]: line[3] for line in rows(text)}
    assert table["`same_session`"] == "0.500x ±0.0%"
    assert table["`later`"] == "0.500x ±0.1%<sup>1</sup>"
    assert "another session than the baseline" in text


def test_seeds_have_separate_sections(tmp_path):
    text = page(tmp_path, latency("dwconv7", 1.0), latency("dwconv7", 2.0, seed=1), latency("a", 4.0, seed=1))
    assert "64 channels, seed 1" in text
    assert {line[1]: line[3] for line in rows(text)[-2:]} == {"`dwconv7`": "1", "`a`": "0.500x ±0.0%"}


def test_heading_of_networks_has_image_channels(tmp_path):
    text = page(tmp_path, latency("niff", 1.0, level="model", network="resnet18", channels=3))
    assert "batch 1, networks with 1000 classes, 3 image channels" in text
    assert rows(text)[-1][1] == "`resnet18 + niff`"


def test_no_speedup_without_the_baseline(tmp_path):
    assert rows(page(tmp_path, latency("a", 1.0)))[0] == ["#", "method", "latency, ms"], "empty columns are dropped"


def test_sections_of_two_environments_have_different_headings(tmp_path):
    """A run with one environment does not name it."""
    text = page(tmp_path, latency("a", 1.0), replace(latency("b", 2.0), env="e2"))
    headings = [line for line in text.splitlines() if line.startswith("### ")]
    setting = "### cpu, 1 thread, fp32, inference, batch 1, 64 channels"
    assert headings == [f"{setting}, environment `e1`", f"{setting}, environment `e2`"]
    assert f"{setting}\n" in page(tmp_path / "one", latency("a", 1.0))


def test_every_column_is_in_the_data_dictionary():
    text = dictionary()
    assert all(f"`{column.name}`" in text and column.meaning in text for column in (*COLUMNS, *ACCURACY_COLUMNS))
    assert set(METRICS) == {"params", "flops", "latency", "memory", "energy", "accuracy", "properties"}


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0012345, "0.00123"), (1.0, "1.00"), (12.34, "12.3"), (99.96, "100.0"), (123456.7, "123,457"), (0, "0"), (None, "")],
)
def test_three_significant_digits(number, text):
    assert short(number) == text


def test_hand_written_file_is_not_replaced(tmp_path):
    path = tmp_path / "LEADERBOARD.md"
    path.write_text("by hand")
    with pytest.raises(ValueError, match="not generated"):
        write_generated(path, "new")
    assert path.read_text() == "by hand"
    path.unlink()
    write_generated(path, "first")
    assert write_generated(path, "second").read_text().startswith("second")


def test_footnotes_repeat_their_number():
    notes = Footnotes()
    assert [notes.mark("a"), notes.mark("b"), notes.mark("a")] == [Mark(1), Mark(2), Mark(1)]
    assert notes.texts == ["a", "b"]


def test_empty_columns_are_dropped():
    assert without_empty([{"#": "", "method": "a", "GMAC": "1"}, {"#": "", "method": "b", "GMAC": ""}]) == [
        {"method": "a", "GMAC": "1"},
        {"method": "b", "GMAC": ""},
    ]


def test_contents_link_to_every_run_and_analysis(tmp_path):
    page(tmp_path, latency("a", 1.0), at(28, latency("b", 1.0)), name="my run.1")
    journal = read_journal(tmp_path / "my run.1" / JOURNAL)
    text = leaderboard([journal], [complete_rows(journal)], analyses=[Path("what it saw/ANALYSIS.md")])
    assert "- [my run.1](#my-run1): 2 operators at 28 to 56 px on cpu\n" in text
    assert "- Analyses: [what it saw](what%20it%20saw/ANALYSIS.md)" in text


def test_leading_figures_are_shown_and_others_linked():
    kinds = ("latency-channels", "latency-resolution", "latency-resolution", "winners", "reach", "crossover", "crossover", "pareto")
    figures = [Figure(f"run/figures/{number}.svg", kind, "cpu, c16", "cpu") for number, kind in enumerate(kinds)]
    text = markdown.document(gallery(figures))
    assert re.findall(r"!\[(.*?): cpu, c16\]\(run/figures/(.*?)\.svg\)", text) == [
        ("reach", "4"),
        ("winners", "3"),
        ("pareto", "7"),
    ]
    linked = re.findall(r"(?<!!)\[[^\]]*\]\(run/figures/(.*?)\.svg\)", text)
    assert sorted(linked) == ["0", "1", "2", "5", "6"]
    assert "- latency against resolution: [cpu, c16](" in text
    assert list(gallery([])) == []
