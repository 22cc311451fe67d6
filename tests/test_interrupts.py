"""A sweep that is interrupted or killed in the middle keeps what is done and leaves no process behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import store

FAULTS = str(Path(__file__).parent / "plugins" / "faults.py")
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
    assert len(store.read(out / store.NAME).records) == 3


def alive(pid):
    """Whether a process runs; one that ended and waits for its parent to notice does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_ctrl_c_keeps_what_is_done_and_says_how_to_resume(out):
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
    kept = store.read(out / store.NAME).records.values()
    assert [(record.job.metric, record.status) for record in kept] == [("params", "ok")] * 3
