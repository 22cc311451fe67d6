"""Cost of the harness itself on a large journal: planning a resume, the tidy table, the leaderboard.

    python -m tests.speed.harness [--records N]

Writes a synthetic journal to a temporary folder and processes it like `bench run` and `bench report`. Prints the CPU
time in seconds, the same per 100,000 records, and the peak resident memory after each stage.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import methods
from bench import journal
from bench.columns import COLUMNS, columns_of
from bench.executors.process import Pool
from bench.plan import Grid, plan
from bench.report.leaderboard.page import leaderboard
from bench.runner.request import Request
from bench.runner.sources import source_digests
from bench.runner.sweep import Sweep
from bench.spec import Record
from bench.tables.cells import complete_rows, to_frame, write_tables

METRICS = ("params", "flops", "memory", "latency", "energy")
METHODS, ROUNDS = 20, 10
DONE = 0.9  # share of finished jobs; the others are planned


def axes(records: int) -> Grid:
    """Return a grid whose journal has about that many records. The number of resolutions follows from it."""
    names = tuple(entry.name for entry in methods.catalogue() if not entry.needs_kernel)[:METHODS]
    channels, batch = (16, 32, 64, 96, 128, 192, 256, 384, 512, 768), (1, 2, 4, 8, 16)
    settings = len(channels) * len(batch) * 4 * DONE
    sizes = max(round(records / len(names) / len(METRICS) / settings), 1)
    res = tuple((16 * size, 16 * size) for size in range(1, sizes + 1))
    values = {"res": res, "channels": channels, "batch": batch, "dtype": ("fp32", "bf16"), "mode": ("infer", "train")}
    return Grid(methods=names, axes={**values, "device": ("cpu",)})


def synthetic(grid: Grid, env: str) -> Iterator[Record]:
    """Yield the records of the finished jobs of a grid, with random values. One in fifty is a failure."""
    known = {entry.name: entry for entry in methods.catalogue()}
    draw = random.Random(0)
    pace = {name: draw.uniform(0.1, 10) for name in grid.methods}
    for job in plan(grid, METRICS, known, source_digests(known, {})):
        if draw.random() > DONE:
            continue
        times = {"env": env, "session": 1.0, "started": 1.0, "seconds": draw.random()}
        if draw.random() < 0.02:
            yield Record(job, "oom", "DefaultCPUAllocator: can't allocate memory", **times)
            continue
        values = {name: draw.random() for name in columns_of(job.metric) if name not in NAMES}
        rounds: dict[str, list[float | None]] = {}
        if job.metric == "latency":
            figures: list[float | None] = [pace[job.cell.method] * draw.lognormvariate(0, 0.05) for _ in range(ROUNDS)]
            rounds = dict.fromkeys(("clean", "cpu", "wall"), figures)
            values |= {"latency_ms": pace[job.cell.method], "contended": 0, "rounds": ROUNDS}
        yield Record(job, "ok", "", dict(values), rounds, **times)


NAMES = {column.name for column in COLUMNS if column.unit == "name"}


def write(path: Path, grid: Grid, env: dict[str, Any]) -> int:
    """Write the journal of a run over a grid, without syncing, and return the number of records."""
    known = {entry.name: entry for entry in methods.catalogue()}
    path.parent.mkdir(parents=True)
    run = {"kind": "run", "command": "python -m bench run", "started": 1.0, "env": env["id"], "baseline": "dwconv7"}
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for head in ({"kind": "env", **env}, run | {"code": source_digests(known, {})}):
            file.write(json.dumps(head) + "\n")
        for record in synthetic(grid, env["id"]):
            count += 1
            facts = {"kind": "record", "key": record.job.key(), **vars(record), "job": record.job.to_json(), "samples": None}
            file.write(json.dumps(facts, separators=(",", ":")) + "\n")
    return count


def stages(path: Path, grid: Grid) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the stages of a resumed run and a report."""
    yield "plan a resume", lambda: resumed(Request(grid=grid, metrics=METRICS, out=path.parent))
    made: dict[str, Any] = {}
    yield "read", lambda: made.update(journal=journal.read_journal(path))
    yield "tidy", lambda: made.update(rows=complete_rows(made["journal"]))
    yield "write tables", lambda: write_tables(made["journal"], to_frame(made["rows"]))
    yield "leaderboard", lambda: leaderboard([made["journal"]], [made["rows"]])


def resumed(request: Request) -> Sweep:
    """Plan a sweep over an unfinished journal, with estimates of the open jobs."""
    sweep = Sweep(request)
    sweep.estimates()
    return sweep


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200_000)
    grid = axes(parser.parse_args().records)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results" / "synthetic" / journal.JOURNAL
        count = write(path, grid, Pool().collect_env())
        print(f"{count} records, {path.stat().st_size / 1e6:.0f} MB")
        total = 0.0
        for name, stage in stages(path, grid):
            begin = time.process_time()
            stage()
            seconds = time.process_time() - begin
            total += seconds
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(f"{name:14} {seconds:6.1f} s, {seconds / count * 1e5:6.2f} s per 100,000 records, {peak:.2f} GiB", flush=True)
    print(f"{'total':14} {total:6.1f} s, {total / count * 1e5:6.2f} s per 100,000 records")


if __name__ == "__main__":
    main()
