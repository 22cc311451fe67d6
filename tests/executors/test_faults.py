"""What a method does to its process, to the disk or to the sweep's own process costs no other method anything."""

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


def of_neighbour(metrics, *faults):
    """Records of a harmless method by metric, measured beside these."""
    jobs = [job(name, metric) for metric in metrics for name in (*faults, "dwconv3")]
    records = list(Pool((FAULTS,)).execute(jobs, LIMITS))
    assert len(records) == len(jobs)
    found = {record.job.metric: record for record in records if record.job.cell.method == "dwconv3"}
    assert {record.status for record in found.values()} == {"ok"}
    return found


def test_no_neighbours_count_moves():
    alone, beside = (of_neighbour(("params", "flops", "memory"), *faults) for faults in ((), NEIGHBOURS))
    for metric in ("params", "flops"):
        assert beside[metric].values == alone[metric].values
    assert beside["memory"].values["mem_peak_bytes"] == alone["memory"].values["mem_peak_bytes"]


def test_no_neighbours_latency_moves():
    """By the best round of three sessions each, taken in turn: a shared machine is slower by half for seconds at a time."""
    best = {(): [], NEIGHBOURS: []}
    for faults in list(best) * 3:
        rounds = of_neighbour(("latency",), *faults)["latency"].rounds["cpu"]
        assert len(rounds) == QUICK.rounds
        best[faults].append(min(rounds))
    assert 0.75 < min(best[NEIGHBOURS]) / min(best[()]) < 1.33


@pytest.mark.parametrize("vandal", ["takes_threads", "doubles", "seeds"])
def test_global_state_is_put_back_between_jobs_of_one_worker(pool, vandal):
    """As on a GPU, whose worker runs one method after the other: weights, inputs, random numbers and settings are the same."""

    def confession(*methods):
        tracks = []
        for name in methods:
            track = RunningJob(job(name, "memory"), pool, LIMITS, CoreAssignment(wanted=False))
            track.name = "cuda:shared"
            tracks.append(track)
        seen = [record for track in tracks for record in interleave({track.job: track.advance})][-1]
        assert seen.status == "error"
        pool.stop(keep="")
        return seen.detail

    assert confession(vandal, "confesses") == confession("confesses")


def test_a_dead_workers_last_words_are_its_own(pool):
    """Not those of a job before it in the same worker."""
    records = []
    for name in ("chatters", "curses"):
        track = RunningJob(job(name, "memory"), pool, LIMITS, CoreAssignment(wanted=False))
        track.name = "cuda:shared"
        records += interleave({track.job: track.advance})
    assert [(record.status, record.detail) for record in records] == [
        ("ok", ""),
        ("crashed", "exited with code 1; it wrote: LAST WORDS"),
    ]


def test_a_worker_killed_from_outside_in_the_middle_of_a_call(pool):
    track = RunningJob(job("hangs"), pool, LIMITS, CoreAssignment(wanted=False))
    process = pool.worker(track.name).process
    threading.Timer(1.0, process.kill).start()
    record = track.advance(False)
    assert (record.status, record.detail[:17]) == ("crashed", "killed by SIGKILL")
    (after,) = pool.execute([job("fine", "params")], LIMITS)
    assert after.status == "ok"


def test_a_worker_killed_between_two_rounds(pool):
    track = RunningJob(job("fine"), pool, LIMITS, CoreAssignment(wanted=False))
    assert track.advance(False) in (True, False), "the first round has ended, the job has not"
    track.worker.process.kill()
    track.worker.process.join()
    record = track.advance(False)
    assert (record.status, record.detail[:17]) == ("crashed", "killed by SIGKILL")


@NEEDS_PROC
def test_the_kernel_prefers_a_worker_to_the_parent(pool):
    def score(pid):
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    worker = pool.worker("one")
    assert score(worker.process.pid) == 1000 > score(os.getpid())


def test_the_conductor_sleeps_while_a_worker_works(pool):
    pool.worker(job("hangs").key())
    wall, own = time.perf_counter(), time.process_time()
    (record,) = pool.execute([job("hangs")], Limits(timeout=3))
    own, wall = time.process_time() - own, time.perf_counter() - wall
    assert record.status == "timeout"
    assert own < 0.2 * wall, "blocked in poll, not spinning"


@NEEDS_PROC
def test_the_server_has_no_threads_and_no_gpu(pool):
    """A server that ran an operator would have threads, and every child of it would hang at its own first operator."""
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


def imported_under_watch(module, folder="."):
    command = [sys.executable, "-c", PRELOAD.replace("MODULE", module)]
    environment = os.environ | {"PYTHONPATH": f"{Path(FAULTS).parents[2]}:{folder}", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=100).stdout.strip()


def test_what_the_server_preloads_runs_no_operator_and_asks_for_no_gpu():
    assert imported_under_watch("bench.executors.preload") == "[] False 1"


def test_the_watch_sees_an_operator_and_a_gpu(tmp_path):
    (tmp_path / "careless.py").write_text("import torch\ntorch.ones(2)\ntorch.cuda._lazy_init()\n")
    assert imported_under_watch("careless", tmp_path) == "['aten.ones.default', 'CUDA'] False 1"


def test_spawned_workers_measure_too():
    records = list(Pool((FAULTS,), start="spawn").execute([job("fine", "params"), job("segfault", "memory")], LIMITS))
    assert [record.status for record in records] == ["ok", "crashed"]
