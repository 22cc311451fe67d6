"""A method that crashes, fills the disk or changes global state does not affect other methods."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest

from bench.executors.process import Pool, RunningJob
from bench.executors.rounds import interleave
from bench.spec import Cell, Job, Limits, Protocol, Timing
from bench.system.affinity import CoreAssignment
from tests.paths import FAULTS

NEIGHBOURS = ("segfault", "exits", "raises", "nan", "gorges", "chatters", "curses", "takes_threads", "doubles", "seeds", "drifts")
QUICK = Timing(rounds=6, max_rounds=6, round_seconds=0.02, min_calls=20, max_calls=20)
LIMITS = Limits(timeout=60, memory=2 << 30)
NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def job(method, metric="latency"):
    return Job(Cell(method, 32, 32, channels=32), metric, QUICK if metric == "latency" else Protocol())


@pytest.fixture
def pool():
    one = Pool((FAULTS,))
    yield one
    one.stop(keep="")


def records_measured_with(metrics, *faults):
    """Return the records of a correct method by metric, measured together with these methods."""
    jobs = [job(name, metric) for metric in metrics for name in (*faults, "dwconv3")]
    records = list(Pool((FAULTS,)).execute(jobs, LIMITS))
    assert len(records) == len(jobs)
    found = {record.job.metric: record for record in records if record.job.cell.method == "dwconv3"}
    assert {record.status for record in found.values()} == {"ok"}
    return found


def test_counts_are_not_affected_by_other_methods():
    alone, beside = (records_measured_with(("params", "flops", "memory"), *faults) for faults in ((), NEIGHBOURS))
    for metric in ("params", "flops"):
        assert beside[metric].values == alone[metric].values
    assert beside["memory"].values["mem_peak_bytes"] == alone["memory"].values["mem_peak_bytes"]


def test_latency_is_not_affected_by_other_methods():
    """Compare the best rounds of three interleaved sessions: background load may slow a shared machine by 50% for seconds."""
    best = {(): [], NEIGHBOURS: []}
    for faults in list(best) * 3:
        rounds = records_measured_with(("latency",), *faults)["latency"].rounds["cpu"]
        assert len(rounds) == QUICK.rounds
        best[faults].append(min(rounds))
    assert 0.75 < min(best[NEIGHBOURS]) / min(best[()]) < 1.33


@pytest.mark.parametrize("vandal", ["takes_threads", "doubles", "seeds"])
def test_global_state_is_reset_between_jobs_of_one_worker(pool, vandal):
    """As on a GPU, one worker runs all methods: weights, inputs, random numbers and settings must be the same."""

    def report(*methods):
        tracks = []
        for name in methods:
            track = RunningJob(job(name, "memory"), pool, LIMITS, CoreAssignment(bound=False))
            track.name = "cuda:shared"
            tracks.append(track)
        seen = [record for track in tracks for record in interleave({track.job: track.advance})][-1]
        assert seen.status == "error"
        pool.stop(keep="")
        return seen.detail

    assert report(vandal, "confesses") == report("confesses")


def test_quoted_output_excludes_previous_jobs(pool):
    """The output of an earlier job in the same worker is not quoted."""
    records = []
    for name in ("chatters", "curses"):
        track = RunningJob(job(name, "memory"), pool, LIMITS, CoreAssignment(bound=False))
        track.name = "cuda:shared"
        records += interleave({track.job: track.advance})
    assert [(record.status, record.detail) for record in records] == [
        ("ok", ""),
        ("crashed", "exited with code 1; it wrote: LAST WORDS"),
    ]


def test_worker_killed_during_a_call(pool):
    track = RunningJob(job("hangs"), pool, LIMITS, CoreAssignment(bound=False))
    process = pool.worker(track.name).process
    threading.Timer(1.0, process.kill).start()
    record = track.advance(False)
    assert (record.status, record.detail[:17]) == ("crashed", "killed by SIGKILL")
    (after,) = pool.execute([job("fine", "params")], LIMITS)
    assert after.status == "ok"


def test_worker_killed_between_rounds(pool):
    track = RunningJob(job("fine"), pool, LIMITS, CoreAssignment(bound=False))
    assert track.advance(False) in (True, False), "the first round has ended, the job has not"
    track.worker.process.kill()
    track.worker.process.join()
    record = track.advance(False)
    assert (record.status, record.detail[:17]) == ("crashed", "killed by SIGKILL")


@NEEDS_PROC
def test_out_of_memory_killer_prefers_the_worker(pool):
    def score(pid):
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    worker = pool.worker("one")
    assert score(worker.process.pid) == 1000 > score(os.getpid())


def test_parent_sleeps_while_a_worker_runs(pool):
    pool.worker(job("hangs").key())
    wall, own = time.perf_counter(), time.process_time()
    (record,) = pool.execute([job("hangs")], Limits(timeout=3))
    own, wall = time.process_time() - own, time.perf_counter() - wall
    assert record.status == "timeout"
    assert own < 0.2 * wall, "blocked in poll, not spinning"


@NEEDS_PROC
def test_server_has_no_threads_and_no_gpu(pool):
    """If the server ran an operator it would have threads, and every child would hang at its first operator."""
    pool.worker("one")
    server = Path(f"/proc/{forkserver._forkserver._forkserver_pid}")
    assert "forkserver" in (server / "cmdline").read_text()
    assert "libtorch" in (server / "maps").read_text(), "torch is preloaded"
    assert "\nThreads:\t1\n" in (server / "status").read_text()
    opened = []
    for file in (server / "fd").iterdir():
        with contextlib.suppress(OSError):
            opened.append(os.readlink(file))
    assert not [name for name in opened if "nvidia" in name]


PRELOAD = """
import sys, torch
from torch.utils._python_dispatch import TorchDispatchMode
ran = []
class Recorder(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        ran.append(str(func))
        return func(*args, **(kwargs or {}))
def refuse(*args, **kwargs):
    ran.append("CUDA")
torch._C._cuda_init = torch.cuda._lazy_init = refuse
with Recorder():
    import MODULE
assert "bench.executors.child" in sys.modules or "MODULE" != "bench.executors.preload"
print(ran, torch.cuda.is_initialized(), torch.get_num_threads())
"""


def import_with_checks(module, folder="."):
    command = [sys.executable, "-c", PRELOAD.replace("MODULE", module)]
    environment = os.environ | {"PYTHONPATH": f"{Path(FAULTS).parents[2]}:{folder}", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=100).stdout.strip()


def test_preloaded_modules_run_no_operator_and_use_no_gpu():
    assert import_with_checks("bench.executors.preload") == "[] False 1"


def test_import_check_detects_an_operator_and_a_gpu(tmp_path):
    (tmp_path / "careless.py").write_text("import torch\ntorch.ones(2)\ntorch.cuda._lazy_init()\n")
    assert import_with_checks("careless", tmp_path) == "['aten.ones.default', 'CUDA'] False 1"


def test_spawned_workers_measure_too():
    records = list(Pool((FAULTS,), start="spawn").execute([job("fine", "params"), job("segfault", "memory")], LIMITS))
    assert [record.status for record in records] == ["ok", "crashed"]
