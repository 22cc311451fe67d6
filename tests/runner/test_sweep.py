"""Failures of a whole sweep: a second sweep, a full disk, an incomplete line, operators that print."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from bench import journal
from bench.spec import Cell, Job, Protocol, Record
from tests.paths import FAULTS

TABLES = ["table.csv", *(["table.parquet"] if find_spec("pyarrow") else []), "README.md", "LEADERBOARD.md"]


def job(method):
    return Job(Cell(method, 8, 8, channels=4), "params", Protocol())


def bench(*words, **environment):
    command = [sys.executable, "-m", "bench", *words]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=110)


def sweep(out, *words, **environment):
    small = ("--res", "8", "--channels", "4", "--baseline", "none", "--plugin", FAULTS, "-o", str(out))
    return bench("run", *small, *words, **environment)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "results" / "run"


def test_what_an_operator_prints_stays_out_of_the_sweeps_output(out):
    result = sweep(out, "--methods", "chatters,fine", "--metrics", "memory")
    assert result.returncode == 0, result.stderr
    assert "CHATTER" not in result.stdout + result.stderr
    assert [Path(line).name for line in result.stdout.splitlines()] == TABLES


def test_what_a_plugin_prints_stays_out_of_the_json(tmp_path):
    plugin = tmp_path / "loud.py"
    plugin.write_text(f"print('LOUD')\n{Path(FAULTS).with_name('mean.py').read_text()}")
    result = bench("list", "--json", "--plugin", str(plugin))
    assert "mean_of_batch" in [entry["name"] for entry in json.loads(result.stdout)["methods"]]
    assert "LOUD" in result.stderr


def test_two_sweeps_into_one_folder(out):
    """The second ends with one sentence; the first continues."""
    words = ["run", "--methods", "hangs", "--res", "8", "--channels", "4", "--baseline", "none", "--plugin", FAULTS]
    command = [sys.executable, "-m", "bench", *words, "--metrics", "params,memory", "-o", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as first:
        try:
            assert "2 jobs" in first.stderr.readline()
            assert "params" in first.stderr.readline()
            second = sweep(out, "--methods", "fine", "--metrics", "params")
            assert second.returncode == 2
            assert f"another run is writing to {out / journal.JOURNAL}" in "".join(second.stderr.split("\n")).replace("  ", " ")
            assert first.poll() is None
        finally:
            first.send_signal(signal.SIGTERM)
            first.stderr.read()
    assert [record.job.cell.method for record in journal.read_journal(out / journal.JOURNAL).records.values()] == ["hangs"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here: that takes root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_method_that_fills_the_disk_of_the_results(small_disk):
    """The sweep ends with one sentence and exit 3. Finished jobs are saved, and a later run measures the rest."""
    out = small_disk / "results" / "run"
    words = ("--methods", "fine,fills_disk", "--metrics", "params,memory")
    result = sweep(out, *words, FULL_FOLDER=str(small_disk))
    assert result.returncode == 3, result.stderr
    assert f"Error: cannot write {out}" in result.stderr
    assert "No space left on device; all finished jobs are saved. Resume with: python -m bench run" in result.stderr
    assert "Traceback" not in result.stderr
    kept = journal.read_journal(out / journal.JOURNAL)
    assert 1 <= len(kept.records) < 4
    (small_disk / "flood").unlink()
    resumed = sweep(out, *words, "--retry", "failed")
    assert resumed.returncode == 0, resumed.stderr
    assert f"4 jobs, {len(kept.records)} already done" in resumed.stderr
    records = journal.read_journal(out / journal.JOURNAL).records.values()
    assert [record.status for record in records] == ["ok"] * 4


def test_a_method_whose_own_disk_is_full_is_a_row(small_disk, out):
    result = sweep(out, "--methods", "fills_disk,fine", "--metrics", "memory", FULL_FOLDER=str(small_disk))
    assert result.returncode == 3
    statuses = {
        record.job.cell.method: (record.status, record.detail)
        for record in journal.read_journal(out / journal.JOURNAL).records.values()
    }
    assert statuses["fine"] == ("ok", "")
    assert statuses["fills_disk"][0] == "error" and "No space left on device" in statuses["fills_disk"][1]


class Full(io.FileIO):
    """A file on a disk that takes a hundred bytes more."""

    room = 100

    def write(self, data):
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = super().write(data[: self.room])
        self.room -= taken
        return taken


def test_a_failed_write_leaves_no_partial_line(tmp_path):
    path = tmp_path / "run" / journal.JOURNAL
    with journal.Writer(path) as writer:
        writer.record(Record(job("fine"), "ok"))
        before = path.read_bytes()
        writer.file.close()
        writer.file = Full(path, "a")
        with pytest.raises(journal.CannotWrite, match=r"cannot write .*journal\.jsonl: No space left on device"):
            writer.record(Record(job("nan"), "ok"))
        Full.room = 1 << 20
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", [journal.JOURNAL, journal.SAMPLES])
def test_a_torn_end_is_set_aside_however_long(tmp_path, name):
    """A sweep killed while it writes tears the samples as well as the journal."""
    path = tmp_path / "run" / journal.JOURNAL
    record = Record(job("fine"), "ok", samples={"seen": [1]})
    with journal.Writer(path) as writer:
        writer.record(record)
    file = path.with_name(name)
    whole, torn = file.read_bytes(), b'{"key":"' + b"x" * 200_000
    file.write_bytes(whole + torn)
    with journal.Writer(path) as writer:
        writer.record(record)
    assert file.read_bytes().startswith(whole + b"{") and file.read_bytes().count(b"\n") == 2
    assert file.with_suffix(".torn").read_bytes() == torn + b"\n"
