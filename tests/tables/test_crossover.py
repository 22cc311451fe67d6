"""Kernel size from which the Fourier form is faster: verdicts by round, no extrapolation, failures reported."""

import pandas as pd
import pytest

from bench.journal import JOURNAL, Journal
from bench.report.data_dictionary import dictionary
from bench.report.leaderboard.crossover import sections
from bench.report.markdown import document
from bench.spec import Cell, Job, Record, Timing
from bench.tables import crossover
from bench.tables.crossover import DIRECT, FOURIER

NOISE = (1.0, 1.001, 0.999, 1.002, 0.998, 1.0, 1.001)  # factor per round, the same for both forms


def latency(method, kernel, ms, status="ok", env="e1", **cell):
    rounds = {clock: [ms * noise for noise in NOISE] for clock in ("clean", "cpu", "wall")} if status == "ok" else {}
    values = {"latency_ms": ms, "contended": 0} if rounds else {}
    job = Job(Cell(method, 56, 56, kernel=kernel, **cell), "latency", Timing(), "c")
    return Record(job, status, values=values, rounds=rounds, env=env, session=1.0)


def forms(direct, fourier, **cell):
    """Yield records of both forms from {kernel: ms, or a status}."""
    for method, results in ((DIRECT, direct), (FOURIER, fourier)):
        for kernel, result in results.items():
            failed = isinstance(result, str)
            yield latency(method, kernel, 1.0 if failed else result, result if failed else "ok", **cell)


def journal_of(tmp_path, *records):
    return Journal(tmp_path / JOURNAL, {record.job.key(): record for record in records})


def only_row(tmp_path, direct, fourier):
    (row,) = crossover.rows(journal_of(tmp_path, *forms(direct, fourier)))
    return row


def test_crossing_of_power_laws_is_exact(tmp_path):
    """k^2 / 100 ms and 1 ms cross at 10 px; the interpolation is exact, because the ratio is a power of k."""
    kernels = (3, 7, 13, 31)
    row = only_row(tmp_path, {k: k**2 / 100 for k in kernels}, dict.fromkeys(kernels, 1.0))
    assert row["crossing"] == pytest.approx(10)
    assert (row["outcome"], row["direct_until"], row["fourier_from"]) == ("crosses", 7, 13)
    assert (row["kernel_min"], row["kernel_max"]) == (3, 31)
    assert row["ratio_max"] == pytest.approx(9.61)


def test_size_without_significant_difference_belongs_to_neither_side(tmp_path):
    row = only_row(tmp_path, {3: 0.5, 5: 1.001, 7: 1.5}, dict.fromkeys((3, 5, 7), 1.0))
    assert (row["direct_until"], row["fourier_from"]) == (3, 7)
    assert 3 < row["crossing"] < 7


@pytest.mark.parametrize(
    ("direct", "outcome", "until", "since"),
    [({3: 0.2, 5: 0.5}, "direct", 5, None), ({3: 2.0, 5: 3.0}, "fourier", None, 3), ({3: 1.0, 5: 1.001}, "unclear", None, None)],
)
def test_without_a_crossing_the_outcome_is_the_faster_form(tmp_path, direct, outcome, until, since):
    row = only_row(tmp_path, direct, {3: 1.0, 5: 1.0})
    assert (row["outcome"], row["direct_until"], row["fourier_from"], row["crossing"]) == (outcome, until, since, None)


def test_last_of_several_crossings_is_reported(tmp_path):
    row = only_row(tmp_path, {3: 2.0, 5: 0.5, 7: 2.0, 9: 3.0}, dict.fromkeys((3, 5, 7, 9), 1.0))
    assert (row["outcome"], row["direct_until"], row["fourier_from"]) == ("crosses", 5, 7)
    assert row["crossing"] == pytest.approx((5 * 7) ** 0.5)


def test_fourier_form_slower_at_the_largest_size_has_no_crossing(tmp_path):
    row = only_row(tmp_path, {3: 0.5, 5: 2.0, 7: 0.5}, dict.fromkeys((3, 5, 7), 1.0))
    assert (row["outcome"], row["fourier_from"], row["crossing"]) == ("direct", None, None)


def test_failure_is_reported_and_excluded_from_the_range(tmp_path):
    row = only_row(tmp_path, {3: 0.5, 7: 2.0, 31: "timeout"}, dict.fromkeys((3, 7, 31), 1.0))
    assert (row["kernel_max"], row["failed"]) == (7, f"31: {DIRECT} timeout")
    text = document(sections(journal_of(tmp_path, *forms({3: "oom", 7: "oom"}, {3: 1.0, 7: 1.0}))))
    assert "none<sup>1</sup>" in text
    assert f"3: {DIRECT} oom; 7: {DIRECT} oom" in text.replace("\\_", "_")


def test_one_row_per_setting_with_both_forms(tmp_path):
    sizes = {3: 0.5, 7: 2.0}, {3: 1.0, 7: 1.0}
    pairs = [*forms(*sizes), *forms(*sizes, mode="train"), *forms(*sizes, channels=16)]
    unpaired = [*forms({3: 1.0, 5: 1.0}, {}, batch=8), *forms({3: 1.0}, {3: 1.0}, batch=16), latency("dwconv7", None, 1.0)]
    rows = crossover.rows(journal_of(tmp_path, *pairs, *unpaired))
    assert [(row["mode"], row["channels"], row["batch"]) for row in rows] == [("infer", 64, 1), ("train", 64, 1), ("infer", 16, 1)]


def test_crossover_csv_has_every_column_and_is_written_only_with_data(tmp_path):
    assert crossover.write(journal_of(tmp_path, latency("dwconv7", None, 1.0))) == []
    (path,) = crossover.write(journal_of(tmp_path, *forms({3: 0.5, 7: 2.0}, {3: 1.0, 7: 1.0})))
    table = pd.read_csv(path)
    assert list(table.columns) == [column.name for column in crossover.COLUMNS]
    assert table.loc[0, ["direct_until", "fourier_from"]].tolist() == [3, 7]
    assert all(f"`{name}`" in dictionary() for name in table.columns)


def test_leaderboard_shows_the_crossing_or_its_bound(tmp_path):
    journal = journal_of(
        tmp_path,
        *forms({3: 0.25, 12: 4.0}, {3: 1.0, 12: 1.0}),
        *forms({3: 0.2, 5: 0.5}, {3: 1.0, 5: 1.0}, channels=128),
        *forms({3: 2.0, 5: 3.0}, {3: 1.0, 5: 1.0}, channels=256),
    )
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in document(sections(journal)).splitlines() if line[:1] == "|"
    ]
    shown = [dict(zip(lines[0], line)) for line in lines[2:]]
    assert [line["crossing, px"] for line in shown] == ["6.00", "above 5", "below 3"]
    assert [line["direct until"] for line in shown] == ["3", "5", ""]
    assert [line["Fourier from"] for line in shown] == ["12", "", "3"]
    assert shown[0]["at the largest"] == "4.00x ±0.0%"


def test_legend_states_that_the_crossing_is_interpolated(tmp_path):
    text = document(sections(journal_of(tmp_path, *forms({3: 0.5, 7: 2.0}, {3: 1.0, 7: 1.0}))))
    text = " ".join(text.split())
    assert "interpolated between measured sizes" in text and "a library leaves its fast path" in text


def test_environments_are_named_if_there_are_several(tmp_path):
    of_env = [list(forms({3: 0.5, 7: 2.0}, {3: 1.0, 7: 1.0}, env=env, batch=batch)) for env, batch in (("e1", 1), ("e2", 2))]
    assert "environment" not in document(sections(journal_of(tmp_path, *of_env[0])))
    text = document(sections(journal_of(tmp_path, *of_env[0], *of_env[1])))
    assert "cpu, 1 thread, environment `e1`" in text and "cpu, 1 thread, environment `e2`" in text
