"""Every job yields exactly one record, also on failure, and rounds are interleaved."""

from collections import Counter

import pytest

import methods
from bench.executors import inline
from bench.executors.process import Pool
from bench.executors.rounds import groups, interleave
from bench.executors.worker import _describe_exit
from bench.spec import Cell, Job, Limits, Protocol, Record, Timing
from tests.paths import FAULTS

QUICK = Timing(rounds=2, max_rounds=2, round_seconds=0.01, min_calls=3, max_calls=5)
EXPECTED = {
    "fine": ("ok", ""),
    "segfault": ("crashed", "killed by SIGSEGV"),
    "exits": ("crashed", "exited with code 7"),
    "hangs": ("timeout", "not finished after 6 s"),
    "hangs_up": ("crashed", "closed its pipe"),
    "raises": ("error", "RuntimeError: the operator's own trouble (faults.py:"),
    "nan": ("wrong_result", "output is not finite"),
    "shape": ("wrong_result", "output has shape (1, 4, 8, 7), not (1, 4, 8, 8) (input (1, 4, 8, 8))"),
    "halves": ("wrong_result", "output is torch.bfloat16, not torch.float32"),
    "pairs": ("wrong_result", "output is tuple, not torch.float32"),
    "declines": ("unsupported", "only on Sundays"),
    "huge": ("oom", ""),
    "stalls": ("timeout", "not finished after 6 s"),
    "gorges": ("oom", ""),
    "chatters": ("ok", ""),
    "curses": ("crashed", "exited with code 1; it wrote: LAST WORDS"),
    "takes_threads": ("error", "GlobalState: the operator set torch to 3 threads; the cell has 1"),
    "doubles": ("error", "GlobalState: the operator set torch's default dtype to torch.float64"),
    "seeds": ("ok", ""),
    "drifts": ("wrong_result", "output drifts: after timing it differs from the output before by"),
}
ROOM = 512 << 20  # bytes of memory per worker: filled quickly, also if page faults are slow


def job(method, metric="latency", **cell):
    return Job(Cell(method, 8, 8, channels=4, **cell), metric, QUICK if metric == "latency" else Protocol())


@pytest.fixture(scope="module")
def outcomes():
    """All faults in one group, in real worker processes."""
    jobs = [job(name) for name in EXPECTED] + [job("fine", "params")]
    records = list(Pool((FAULTS,)).execute(jobs, Limits(timeout=6, memory=ROOM)))
    assert Counter(record.job for record in records) == Counter(jobs), "one record per job"
    return {(record.job.cell.method, record.job.metric): record for record in records}


@pytest.mark.parametrize("name", EXPECTED)
def test_fault_affects_only_its_own_record(outcomes, name):
    record = outcomes[name, "latency"]
    status, detail = EXPECTED[name]
    assert (record.status, record.detail[: len(detail)]) == (status, detail)
    assert bool(record.values) == (status == "ok")


def test_record_contains_its_samples(outcomes):
    record = outcomes["fine", "latency"]
    assert 0 < record.values["latency_min_ms"] <= record.values["latency_ms"]
    assert len(record.samples["rounds"]) == QUICK.rounds == len(record.rounds["clean"])
    assert all(len(one["wall_ns"]) >= QUICK.min_calls for one in record.samples["rounds"])
    assert record.seconds > 0


def test_inline_returns_the_same_outcomes():
    methods.load_file(FAULTS)
    deadly = {"segfault", "exits", "hangs", "hangs_up", "stalls", "gorges", "curses"}
    unruly = {"takes_threads", "doubles", "seeds"}  # the process is that of the tests
    survivable = [name for name in EXPECTED if name not in deadly | unruly]
    records = {record.job.cell.method: record for record in inline.execute([job(name) for name in survivable], Limits())}
    assert {name: record.status for name, record in records.items()} == {name: EXPECTED[name][0] for name in survivable}


def test_workers_end_with_the_sweep():
    pool = Pool((FAULTS,))
    list(pool.execute([job("fine", "params")], Limits()))
    assert not pool.workers


def test_workers_use_the_tuned_allocator_and_the_parent_does_not():
    import os

    pool = Pool()
    facts = pool.collect_env()
    pool.stop(keep="")
    assert facts["malloc"] == "tuned"
    assert "MALLOC_MMAP_MAX_" not in os.environ


def test_rounds_of_a_group_are_interleaved_in_random_order():
    seen: list[str] = []

    def counted(name, rounds):
        left = iter(range(rounds))

        def advance(all_precise):
            seen.append(name)
            return Record(job(name), "ok") if next(left, None) is None else False

        return advance

    records = list(interleave({job(name): counted(name, 4) for name in "abcd"}))
    assert sorted(record.job.cell.method for record in records) == list("abcd")
    turns = [seen[index : index + 4] for index in range(0, len(seen), 4)]
    assert all(sorted(turn) == list("abcd") for turn in turns), "every method once per round"
    assert len({tuple(turn) for turn in turns}) > 1, "the order changes"


def test_groups_differ_only_in_their_method():
    jobs = [job("fine"), job("nan"), job("fine", batch=2), job("fine", "params"), job("nan", batch=2)]
    assert [[(member.cell.method, member.cell.batch, member.metric) for member in group] for group in groups(jobs)] == [
        [("fine", 1, "latency"), ("nan", 1, "latency")],
        [("fine", 2, "latency"), ("nan", 2, "latency")],
        [("fine", 1, "params")],
    ]


def test_description_of_an_exit_code():
    assert _describe_exit(-9) == "killed by SIGKILL (out of memory?)"
    assert _describe_exit(3) == "exited with code 3"


def test_death_of_a_shared_worker_affects_one_job():
    """On a GPU the methods of a group share a worker. Here three jobs share one by name."""
    from bench.executors.process import RunningJob
    from bench.system.affinity import CoreAssignment

    pool = Pool((FAULTS,))
    advances = {}
    for name in ("fine", "segfault", "nan"):
        running = RunningJob(job(name), pool, Limits(timeout=20), CoreAssignment(bound=False))
        running.name = "shared"
        advances[running.job] = running.advance
    records = {record.job.cell.method: record.status for record in interleave(advances)}
    pool.stop(keep="")
    assert records == {"fine": "ok", "segfault": "crashed", "nan": "wrong_result"}
