"""Planning, resuming and reporting take time in proportion to the records: counted in operations, not in seconds."""

import statistics
import sys
from collections import Counter

import pytest

from bench.journal import JOURNAL, read_journal
from bench.plan import Grid
from bench.report import write
from bench.report.leaderboard.page import leaderboard
from bench.runner.options import WorkerOptions
from bench.runner.request import Request
from bench.system import environment
from bench.tables.cells import complete_rows, write_tables
from tests.speed import harness

FACTOR = 4
METHODS = ("conv3", "dwconv3", "dwconv7", "niff")


def grid(settings):
    axes = {"res": tuple((8 + 4 * one, 8) for one in range(settings)), "channels": (4,), "device": ("cpu",)}
    return Grid(methods=METHODS, axes=axes)


def written(folder, settings):
    """The journal of an unfinished sweep over so many settings."""
    path = folder / str(settings) / "run" / JOURNAL
    harness.write(path, grid(settings), environment.collect())
    return path


def calls(function):
    """How many functions, those written in C among them, run until it returns."""
    count = 0

    def called(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


@pytest.fixture
def request_over(tmp_path):
    def over(settings):
        path = written(tmp_path, settings)
        return Request(grid=grid(settings), metrics=harness.METRICS, out=path.parent, workers=WorkerOptions(executor="inline"))

    return over


STAGES = {
    "read": lambda request, journal: read_journal(journal.path),
    "plan a resume": lambda request, journal: harness.resumed(request),
    "tables": lambda request, journal: write_tables(journal),
    "leaderboard": lambda request, journal: leaderboard([journal], [complete_rows(journal)]),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_linear_in_the_records(request_over, stage):
    costs = []
    for settings in (25, 25 * FACTOR):
        request = request_over(settings)
        journal = read_journal(request.out / JOURNAL)
        STAGES[stage](request, journal)  # once for what is imported or cached on the way
        costs.append(calls(lambda: STAGES[stage](request, journal)))  # noqa: B023  # called immediately
    assert costs[1] < 1.1 * FACTOR * costs[0]


def test_estimates_read_each_record_once(request_over, monkeypatch):
    """A median a job would sort all records of its kind for each job that is left."""
    planned = harness.resumed(request_over(30))
    seen = []
    median = statistics.median
    monkeypatch.setattr(statistics, "median", lambda values: seen.append(len(values)) or median(values))
    assert planned.todo
    assert set(planned.estimates()) == set(planned.todo)
    assert sum(seen) == len(planned.journal.records)


def test_a_journal_is_read_once_to_plan_and_once_to_report(request_over, monkeypatch):
    request = request_over(2)
    reads = Counter()
    read = read_journal
    for module in ("bench.journal", "bench.report.write"):
        monkeypatch.setattr(f"{module}.read_journal", lambda path: reads.update([path]) or read(path))
    harness.resumed(request)
    assert reads == {request.out / JOURNAL: 1}
    write.write_reports([request.out])
    assert reads == {request.out / JOURNAL: 2}


def test_records_of_one_cell_share_it(request_over):
    """Most of a large journal's memory is cells and names."""
    records = read_journal(request_over(2).out / JOURNAL).records.values()
    cells = {id(record.job.cell) for record in records}
    assert len(cells) == len({record.job.cell for record in records}) < len(records)
