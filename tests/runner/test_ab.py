"""A/B comparisons: labels, pairing, the text of the verdict, failures, and the saved journal."""

from dataclasses import replace

import pytest

import methods
from bench.journal import JOURNAL, read_journal
from bench.runner.ab import fixed_rounds, text, trial
from bench.spec import Cell, Limits, Record
from bench.tables.cells import tidy
from tests.builders import bench
from tests.paths import FAULTS

KNOWN = {entry.name: entry for entry in methods.catalogue()}
SMALL = ("--res", "8", "--channels", "4", "--rounds", "3")


class Fake:
    """A pool whose records have the given latencies per round. It saves the requests."""

    def __init__(self, **rounds):
        self.rounds = rounds

    def execute(self, jobs, limits):
        self.jobs, self.limits = jobs, limits
        for job in reversed(jobs):
            figures = self.rounds[job.cell.alias]
            if isinstance(figures, str):
                yield Record(job, figures, "because")
            else:
                clocks = {"clean": figures, "cpu": [2 * one for one in figures], "wall": [3 * one for one in figures]}
                yield Record(
                    job, "ok", values={"contended": int(job.cell.alias == "B" and self.busy), "clean_share": 0.9}, rounds=clocks
                )

    busy = False


A, B = (Cell("niff", 56, 56, alias=alias) for alias in "AB")
SLOWLY = [1.0, 2.0, 1.0, 3.0, 1.0, 2.0, 1.0, 2.0]  # rounds of a machine that changes its speed


def tried(factor, a=A, b=B, busy=False):
    pool = Fake(A=SLOWLY, B=[factor * one for one in SLOWLY] if isinstance(factor, float) else factor)
    pool.busy = busy
    return trial(pool, (a, b), fixed_rounds(a, "cold", 8), Limits())


@pytest.mark.parametrize(
    ("factor", "word", "sentence"),
    [
        (1.0, "same", "The same: the whole interval lies within 3.0% of 1."),
        (1.03, "slower", "B is slower: the whole interval lies more than 2% above 1."),
        (0.97, "faster", "B is faster: the whole interval lies more than 2% below 1."),
    ],
)
def test_rounds_are_paired(factor, word, sentence):
    """Latencies spread over a factor of three, their ratio is known exactly."""
    result = tried(factor)
    assert result.verdict == word
    assert result.ratio == pytest.approx((factor,) * 3)
    assert text(result).endswith(sentence)
    assert f"B / A {factor:.3f} [{factor:.3f}, {factor:.3f}] over 8 rounds" in text(result).replace("0.9700", "0.970")


def test_a_gpu_needs_half_the_difference():
    a, b = (replace(cell, device="cuda:0") for cell in (A, B))
    assert tried(1.015, a, b).verdict == "slower"
    assert tried(1.015).verdict == "same"


def test_an_unclear_verdict_is_printed():
    result = tried([1.2 * SLOWLY[0], *SLOWLY[1:4], *(1.1 * one for one in SLOWLY[4:])])
    assert result.verdict == "unclear"
    assert "more --rounds narrow it" in text(result)


def test_cpu_time_replaces_wall_time_for_both_sides():
    result = tried(1.5, busy=True)
    assert result.clock == "cpu"
    assert result.ratio.mid == pytest.approx(1.5)
    said = text(result)
    assert "A  niff  3.00 ms" in said, "twice the median of 1.5"
    assert "CPU time is reported instead of wall time" in said
    assert "90% clean samples" in said
    assert "CPU time" not in text(tried(1.5))


def test_a_failure_has_its_reason_and_no_verdict():
    result = tried("oom")
    assert result.verdict == "failed"
    said = text(result)
    assert "A  niff  1.50 ms" in said
    assert said.endswith("B  niff  oom: because")


def test_the_number_of_rounds_is_fixed_beforehand():
    cpu, gpu = (fixed_rounds(cell, "hot", 9) for cell in (A, replace(A, device="cuda:0")))
    assert (cpu.rounds, cpu.max_rounds, cpu.timer) == (9, 9, "wall")
    assert gpu.timer == "hot"


def test_two_settings_are_no_pair():
    with pytest.raises(ValueError, match="rounds of two settings cannot be paired"):
        tried(1.0, b=replace(B, batch=2))
    with pytest.raises(ValueError, match="needs an alias"):
        tried(1.0, b=A)


def test_the_command_decides_or_not_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = bench("ab", "niff", "niff[hidden=16]", *SMALL)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "cpu, 1 thread, fp32, inference, batch 1, 4 channels, 8 px"
    assert lines[1].startswith("A  niff             ") and " ms" in lines[1]
    assert lines[2].startswith("B  niff[hidden=16]  ") and " ms" in lines[2]
    assert lines[3].startswith("B / A ") and lines[3].endswith("over 3 rounds")
    assert list(tmp_path.iterdir()) == []


def test_a_failing_side_ends_in_exit_3_and_records_are_saved(tmp_path):
    result = bench("ab", "fine", "raises", *SMALL, "--plugin", FAULTS, "-o", str(tmp_path / "saved"))
    assert result.exit_code == 3
    assert "B  raises  error: RuntimeError: the operator's own trouble" in result.output
    journal = read_journal(tmp_path / "saved" / JOURNAL)
    table = tidy(journal).set_index("label")
    assert dict(table["latency_status"]) == {"fine (A)": "ok", "raises (B)": "error"}
    assert {record.env for record in journal.records.values()} == set(journal.envs)
    assert all(record.job.code for record in journal.current())
    again = bench("ab", "fine", "fine", *SMALL, "--plugin", FAULTS, "-o", str(tmp_path / "saved"))
    assert again.exit_code == 2 and "already holds a run" in " ".join(again.output.split())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("niff", "nif"), "did you mean 'niff'"),
        (("niff", "niff", "--res", "8,9"), "'8,9' is not a resolution"),
        (("niff", "niff", "--rounds", "1"), "1 is too small: at least 2"),
        (("niff", "niff", "--threads", "100000"), "is more than the"),
        (("niff", "niff", "--device", "cuda:99"), "device cuda:99 does not exist"),
        (("niff",), "Missing argument 'B'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(words, sentence):
    result = bench("ab", "--res", "8", *words) if "--res" not in words else bench("ab", *words)
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.split())
