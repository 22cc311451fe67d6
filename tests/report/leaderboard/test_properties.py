"""Properties in the leaderboard."""

import pytest
from click.testing import CliRunner

from bench import columns, journal
from bench.cli import main
from bench.executors import job
from bench.report.leaderboard import properties
from bench.report.markdown import document
from bench.spec import Cell, Job, Limits
from bench.tables.cells import rows
from bench.tables.row import Row


def test_run_writes_and_shows_properties(tmp_path):
    out = tmp_path / "results" / "run"
    words = ["run", "--methods", "niff,dwconv3", "--res", "8,12", "--channels", "4", "--baseline", "none", "--executor", "inline"]
    result = CliRunner().invoke(main, [*words, "--metrics", "properties", "-o", str(out)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found = list(rows(journal.read_journal(out / journal.JOURNAL)))
    assert {row["properties_status"] for row in found} == {"ok"}
    text = document(properties.section([Row({**dict.fromkeys(columns.columns_of("properties")), **row.values}) for row in found]))
    assert text.count("`niff`") == 2 == text.count("`dwconv3`")
    assert "e-" in text and "<sup>" not in text


def test_failures_and_reasons_are_shown():
    row = {"label": "a", "height": 8.0, "width": 9.0, **dict.fromkeys(columns.columns_of("properties"))}
    failed = row | {"properties_status": "oom", "properties_detail": "too much"}
    lacking = row | {"properties_status": "ok", "shift_error_circular": 0.0, "properties_why": "error_fp64: none"}
    text = document(properties.section([Row(failed), Row(lacking)]))
    assert "*oom*<sup>1</sup>" in text and "oom: too much" in text
    assert "none<sup>2</sup>" in text and "error\\_fp64: none" in text
    assert "8 x 9" in text
    assert list(properties.section([Row(row | {"properties_status": None})])) == []


def test_record_contains_every_way():
    story = job.run(Job(Cell("global_filter", 8, 8, channels=2), "properties"), Limits())
    next(story)
    with pytest.raises(StopIteration) as end:
        story.send(True)
    record = end.value.value
    assert record.status == "ok", record.detail
    assert set(record.samples["resolution_error"]) == {"bicubic", "pad_kernel", "pad_spectrum"}
    assert record.values["resolution_error"] == min(record.samples["resolution_error"].values())
