"""The journal is never rewritten except for an incomplete last line; tables have one row per cell."""

import json
from dataclasses import replace

import pytest

from bench.columns import COLUMNS
from bench.journal import JOURNAL, SAMPLES, CorruptJournal, Journal, Writer, os, read_journal
from bench.plan import accuracy_cell
from bench.spec import PROTOCOLS, Cell, Evaluation, Job, Protocol, Record, Timing, Training
from bench.tables.cells import tidy, write_tables

ENV = {"id": "e1", "cpu": "c", "gpus": []}
CELL = Cell("dwconv7", 8, 8, params=(("backend", "fft"),))


def record(metric="latency", status="ok", cell=CELL, protocol=None, **values):
    return Record(
        Job(cell, metric, protocol or PROTOCOLS.get(metric, Protocol()), "code"),
        status,
        "why" if status != "ok" else "",
        values,
        env="e1",
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / JOURNAL


def write(path, *records):
    with Writer(path) as writer:
        writer.env(ENV)
        writer.run({"command": "python -m bench run", "started": 1.0, "env": "e1"})
        for one in records:
            writer.record(one)


def test_round_trip(path):
    write(path, record(latency_ms=1.25), record("memory", "oom"))
    journal = read_journal(path)
    assert [one.values for one in journal.records.values()] == [{"latency_ms": 1.25}, {}]
    assert [one.job for one in journal.records.values()] == [record().job, record("memory").job]
    assert journal.envs == {"e1": ENV}
    assert journal.name == "run"


def test_evaluations_are_a_list_of_objects(path):
    evals = [Evaluation(24, "native", 80.0), Evaluation(32, "", None, "oom", "no room")]
    write(path, replace(record("accuracy", accuracy=90.0), evals=evals))
    (kept,) = read_journal(path).records.values()
    assert kept.evals == evals
    assert json.loads(path.read_text().splitlines()[-1])["evals"] == [
        {"res": 24, "way": "native", "accuracy": 80.0, "status": "ok", "detail": ""},
        {"res": 32, "way": "", "accuracy": None, "status": "oom", "detail": "no room"},
    ]


def test_evaluations_of_an_older_journal_are_read_and_the_file_does_not_change(path):
    write(path, record("accuracy", accuracy=90.0))
    path.write_text(path.read_text().replace('"evals":[]', '"evals":{"24 native":80.0,"32":"oom: no room"}'))
    before = path.read_bytes()
    (kept,) = read_journal(path).records.values()
    assert kept.evals == [Evaluation(24, "native", 80.0), Evaluation(32, "", None, "oom", "no room")]
    with Writer(path):
        pass
    assert path.read_bytes() == before


def test_the_last_record_of_a_job_counts_and_the_first_stays_on_disk(path):
    write(path, record(status="error"))
    write(path, record(latency_ms=2.0))
    assert [one.status for one in read_journal(path).records.values()] == ["ok"]
    assert path.read_text().count('"kind":"record"') == 2


def test_records_of_other_sources_are_not_shown(path):
    """An edited method is measured again. If the edit is undone, its old records are shown again."""
    old, new = record(latency_ms=1.0), record(latency_ms=9.0)
    new = replace(new, job=replace(new.job, code="edited"))
    memory = record("memory", mem_peak_bytes=7)
    with Writer(path) as writer:
        writer.env(ENV)
        for code, measured in (("code", [old, memory]), ("edited", [new])):
            writer.run({"command": "c", "started": 1.0, "code": {"dwconv7": code}})
            for one in measured:
                writer.record(one)
    table = tidy(read_journal(path))
    assert list(table["latency_ms"]) == [9.0]
    assert table["mem_peak_bytes"].isna().all(), "no memory of the older source next to the newer latency"
    with Writer(path) as writer:
        writer.run({"command": "c", "started": 2.0, "code": {"dwconv7": "code"}})
    assert list(tidy(read_journal(path))["latency_ms"]) == [1.0]


def test_a_second_writer_is_an_error(path):
    with Writer(path), pytest.raises(OSError, match="another run is writing"):
        Writer(path)


def test_a_torn_last_line_is_read_over_and_set_aside(path):
    write(path, record(latency_ms=1.0))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"kind":"record","job":{"ce')
    assert len(read_journal(path).records) == 1
    write(path, record("memory", mem_peak_bytes=5))
    assert path.read_bytes().startswith(whole)
    assert len(read_journal(path).records) == 2
    assert path.with_suffix(".torn").read_bytes() == b'{"kind":"record","job":{"ce\n'


def test_a_complete_last_line_without_a_newline_is_read(path):
    write(path, record(latency_ms=1.0))
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    write(path, record("memory", mem_peak_bytes=5))
    assert len(read_journal(path).records) == 2
    assert not path.with_suffix(".torn").exists()


@pytest.mark.parametrize("bad", ["nonsense", "{}", '{"kind":"other"}', '{"kind":"record","job":{}}', "[1]", '"text"'])
def test_any_other_invalid_line_is_an_error_and_not_changed(path, bad):
    write(path, record())
    text = path.read_text().splitlines()
    path.write_text("\n".join([text[0], bad, *text[1:]]) + "\n")
    with pytest.raises(CorruptJournal, match=r"journal\.jsonl: line 2"):
        read_journal(path)
    assert bad in path.read_text()


def test_values_that_are_not_numbers_cannot_be_written(path):
    with pytest.raises(ValueError, match="JSON"):
        write(path, record(latency_ms=float("nan")))


def test_one_row_per_cell_with_nulls_for_failures(path):
    write(path, record(latency_ms=1.5), record("memory", "oom"), record(cell=Cell("conv3", 8, 8), status="timeout"))
    table = tidy(read_journal(path)).set_index("method")
    assert list(table.index) == ["dwconv7", "conv3"]
    assert table.loc["dwconv7", "latency_ms"] == 1.5
    assert table.loc["dwconv7", "memory_status"] == "oom"
    assert table.loc["dwconv7", "memory_detail"] == "why"
    assert table.loc[["dwconv7", "conv3"], "mem_peak_bytes"].isna().all()
    assert json.loads(table.loc["dwconv7", "params"]) == {"backend": "fft"}
    assert set(table.columns) > {column.name for column in COLUMNS} - {"method"}


def test_two_timers_give_two_rows_with_the_same_counts(path):
    """Cold against hot is no comparison, and neither overwrites the other."""
    gpu = replace(CELL, device="cuda:0")
    other = replace(gpu, method="niff", params=())
    figures = {"rounds": {"clean": [1.0, 1.0, 1.0]}, "session": 1.0}

    def timed(cell, timer, ms):
        return replace(record(cell=cell, protocol=Timing(timer=timer), latency_ms=ms, contended=0), **figures)

    cold, hot = [timed(cell, "cold", 1.0) for cell in (gpu, other)], timed(gpu, "hot", 0.4)
    with Writer(path) as writer:
        writer.run({"command": "c", "started": 1.0, "baseline": "dwconv7"})
        for one in (*cold, record("flops", cell=gpu, flops=7.0), hot):
            writer.record(one)
    table = tidy(read_journal(path))
    assert list(zip(table["method"], table["timer"], table["latency_ms"], table["flops"].fillna(-1))) == [
        ("dwconv7", "cold", 1.0, 7.0),
        ("niff", "cold", 1.0, -1.0),
        ("dwconv7", "hot", 0.4, 7.0),
    ]
    assert list(table["place"]) == [1, 1, 1]
    assert list(table["speedup"].fillna(-1)) == [1.0, 1.0, 1.0], "each within its own timer"


def test_a_row_has_values_of_one_environment(path):
    write(path, record(latency_ms=1.0), replace(record("params", params_count=3.0), env="e2"))
    found = tidy(read_journal(path))[["env", "latency_ms", "params_count"]].fillna(-1)
    assert list(found.itertuples(index=False, name=None)) == [("e1", 1, -1), ("e2", -1, 3)]


def test_accuracy_is_in_every_row_of_its_method(path):
    cells = [Cell("conv3", 8, 8), Cell("conv3", 16, 16, dtype="bf16"), Cell("conv7", 8, 8)]
    task = accuracy_cell(cells[0], Training())
    write(
        path,
        *(record(cell=cell, latency_ms=1.0) for cell in cells),
        record("accuracy", cell=task, protocol=Training(), accuracy=97.0),
    )
    table = tidy(read_journal(path))
    assert list(table["accuracy"].fillna(-1)) == [97.0, 97.0, -1]
    assert set(table["level"]) == {"op"}


def test_accuracy_alone_has_its_own_row(path):
    task = accuracy_cell(CELL, Training())
    write(path, record("accuracy", cell=task, protocol=Training(), accuracy=97.0))
    assert list(tidy(read_journal(path))["level"]) == ["model"]


def test_table_is_written_and_reads_back(path):
    pd = pytest.importorskip("pandas")
    write(path, record(latency_ms=1 / 3))
    written = write_tables(read_journal(path))
    assert written[0].name == "table.csv"
    assert pd.read_csv(written[0])["latency_ms"][0] == 1 / 3


def test_each_line_is_synced_before_the_next_is_begun(path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(path.read_bytes().count(b"\n")))
    write(path, record(latency_ms=1.0), record("memory", mem_peak_bytes=5))
    assert synced == [1, 2, 3, 4]


def test_raw_samples_are_in_a_separate_file(path):
    measured = replace(record(latency_ms=1.0), rounds={"clean": [1.0]}, samples={"rounds": [{"wall_ns": [1]}]}, started=3.0)
    write(path, measured)
    (kept,) = read_journal(path).records.values()
    assert kept.rounds == {"clean": [1.0]} and kept.samples == {}
    (line,) = path.with_name(SAMPLES).read_text().splitlines()
    assert json.loads(line) == {"key": measured.job.key(), "started": 3.0, "rounds": [{"wall_ns": [1]}]}


def test_peak_rates_are_those_of_a_device_and_number_of_threads(tmp_path):
    journal = Journal(tmp_path / JOURNAL, envs={"e": {"ceilings": {"cpu/1": {"fft": 1.0}, "cuda:0/1": {"fft": 2.0}}}, "old": {}})
    assert journal.ceilings("e", "cpu", 1) == {"fft": 1.0}
    assert journal.ceilings("e", "cuda:0", 1) == {"fft": 2.0}
    for missing in (("e", "cpu", 2), ("old", "cpu", 1), ("unknown", "cpu", 1)):
        assert journal.ceilings(*missing) == {}


def test_records_of_a_metric_whose_file_was_removed_are_named(tmp_path, capsys):
    records = [record("params", params_count=3), record("removed", loss=1.0)]
    journal = Journal(tmp_path / JOURNAL, {one.job.key(): one for one in records}, {"e1": ENV})
    (row,) = tidy(journal).to_dict("records")
    assert row["params_count"] == 3
    assert capsys.readouterr().err == "not shown: records of removed, which bench/metrics does not have\n"
