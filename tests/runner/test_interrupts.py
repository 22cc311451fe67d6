"""An interrupted or killed sweep saves the finished jobs and leaves no process behind."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from bench.columns import COLUMNS
from bench.journal import JOURNAL, SAMPLES, read_journal
from bench.tables.cells import tidy
from tests.paths import FAULTS

SWEEP = ["run", "--methods", "dwconv3,hangs", "--plugin", FAULTS, "--res", "8", "--channels", "4", "--metrics", "params,latency"]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "results" / "run"


def children(pid):
    """Processes below a process, however deep."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid:
                found += [int(stat.parent.name), *children(int(stat.parent.name))]
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux: /proc and a signal at the parent's death")
def test_a_killed_sweep_leaves_no_process_behind(out):
    """Not even a worker that hangs: the kernel ends them."""
    words = [*SWEEP, "-o", str(out)]
    with subprocess.Popen([sys.executable, "-m", "bench", *words], stderr=subprocess.PIPE, text=True) as process:
        for _ in range(4):
            process.stderr.readline()
        time.sleep(1)  # into the hang
        workers = children(process.pid)
        process.kill()
    assert workers
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in workers if alive(pid)]
    assert len(read_journal(out / JOURNAL).records) == 3


def alive(pid):
    """Whether a process runs; one that ended and waits for its parent to notice does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_ctrl_c_saves_finished_jobs_and_prints_how_to_resume(out):
    """The interrupt reaches the whole process group, as from a terminal, while a method hangs."""
    words = [*SWEEP, "-o", str(out)]
    with subprocess.Popen(
        [sys.executable, "-m", "bench", *words],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # a background job has it ignored
    ) as process:
        try:
            for wanted in ("6 jobs", "params", "params", "params"):
                assert wanted in process.stderr.readline()
            time.sleep(1)  # into the latency of the method that never returns
            os.killpg(process.pid, signal.SIGINT)
            rest = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    assert process.returncode == 130, rest
    assert f"Resume with: python -m bench {' '.join(words)}" in rest
    assert "Traceback" not in rest
    kept = read_journal(out / JOURNAL).records.values()
    assert [(record.job.metric, record.status) for record in kept] == [("params", "ok")] * 3


KILLS = 20
SMALL = ["--methods", "dwconv3,niff,conv3", "--res", "8,9,10,11,12,13,14,15", "--channels", "4"]
COUNTS = [*SMALL, "--metrics", "params,flops,memory"]
TIMES = ["--methods", "dwconv3,niff,conv3", "--res", "8,9,10", "--channels", "4", "--metrics", "latency"]
NOISY = {"mem_rss_bytes", "place", "speedup", "speedup_lo", "speedup_hi", "verdict", "bound", "pct_of_limit"}


def measure(out, words, **options):
    return subprocess.Popen([sys.executable, "-m", "bench", "run", *words, "-o", str(out)], **options)


def records_in(out):
    journal = out / JOURNAL
    return journal.read_bytes().count(b'"kind":"record"') if journal.exists() else 0


def kill_at_random(out, words, chance, environment):
    """Kill a sweep some records and some milliseconds after its start, or sooner; whether it was still running."""
    wanted = records_in(out) + chance.randrange(4)
    delay = chance.uniform(0, 3) if chance.random() < 0.2 else None
    with measure(out, words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + (60 if delay is None else delay)
        while process.poll() is None and time.monotonic() < deadline and (delay is not None or records_in(out) < wanted):
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.1))
        running = process.poll() is None
        below = children(process.pid)
        process.kill()
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in below) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [pid for pid in below if alive(pid)], "a worker survived"
    return running


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.timeout(900)
def test_a_sweep_killed_at_twenty_random_moments_loses_nothing(out):
    """Each kill leaves a journal that can be read; in the end every job has one record, and the table is that of a quiet run."""
    chance = random.Random(1)
    temporary = Path(tempfile.mkdtemp())  # the path of a socket may have 107 characters
    environment = os.environ | {"TMPDIR": str(temporary)}
    killed = 0
    for number in range(KILLS):
        killed += kill_at_random(out, TIMES if number % 4 == 3 else COUNTS, chance, environment)
        read_journal(out / JOURNAL)
    assert killed >= KILLS / 2
    assert not list(temporary.glob("bench-*")), "what workers wrote is left behind"
    shutil.rmtree(temporary)
    quiet = out.parent.parent / "quiet" / "run"
    for words in (COUNTS, TIMES):
        for folder in (out, quiet):
            with measure(folder, words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
                text = process.communicate()[1]
            assert process.returncode == 0, text
    lines = [json.loads(line) for line in (out / JOURNAL).read_text().splitlines()]
    keys = [line["key"] for line in lines if line["kind"] == "record"]
    assert len(keys) == len(set(keys)) == records_in(quiet)
    for line in (out / SAMPLES).read_text().splitlines():
        json.loads(line)
    exact = [column.name for column in COLUMNS if column.metric != "latency" and column.name not in NOISY]
    tables = [
        tidy(read_journal(folder / JOURNAL)).sort_values(["label", "height", "width"], ignore_index=True)[exact]
        for folder in (out, quiet)
    ]
    assert tables[0].equals(tables[1]), tables[0].compare(tables[1])
