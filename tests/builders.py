"""Records, journals, workloads and commands that several test modules build."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import methods
from bench.axes import BY_NAME, fields
from bench.cli import main
from bench.journal import JOURNAL, Journal, Writer, read_journal
from bench.plan import Grid, Trainings, accuracy_cell
from bench.report.leaderboard.page import sections
from bench.report.markdown import document
from bench.report.recommend.answer import AXES_QUERIED, Query
from bench.spec import Cell, Job, Protocol, Record, Timing, Training
from bench.system import machine
from bench.tables.cells import complete_rows
from bench.workload.build import Workload
from methods import contract

ENV = {
    "id": "e1",
    "cpu": "Processor",
    "cores": 2,
    "memory_gb": 8,
    "cpu_capability": "AVX2",
    "gpus": [],
    "torch": "2.9",
    "python": "3.11",
}
ENV |= {"os": "Linux", "malloc": "tuned", "commit": None}
TASK = Training(data="farpair[distance=6]", res=32)


def query(res=(56, 56), device=None, **limits):
    """Return a query for 64 channels on any device; `limits` may also set axes."""
    axes = {name: limits.pop(name) for name in list(limits) if name in BY_NAME}
    setting = fields({"res": res, "channels": 64, "device": device, **axes}, AXES_QUERIED)
    return Query(setting | {"device": device}, **limits)


QUERY = query()


def grid(methods, res, *, training=None, data=("digits",), seeds=(), **settings):
    """Return a grid on the CPU; `settings` are axes or fields of `Grid`."""
    axes = {name: settings.pop(name) for name in list(settings) if name in BY_NAME}
    trainings = Trainings(training or Training(), data, seeds)
    return Grid(methods=methods, axes={"res": res, "device": ("cpu",), **axes}, trainings=trainings, **settings)


def bench(*words):
    """Run a command line in this process."""
    return CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)


def workload_of(name, size=(12, 12), channels=contract.CHANNELS, **settings):
    kernel = contract.KERNEL if methods.get(name).entry.needs_kernel else None
    return Workload(Cell(name, *size, channels, kernel=kernel, **settings))


def values_of(metric, workload):
    rounds = metric.measure(workload, Protocol())
    next(rounds)
    with pytest.raises(StopIteration) as end:
        next(rounds)
    return end.value.value.values


def latency(method, ms, status="ok", detail="", **cell):
    values = {"latency_ms": ms, "latency_lo_ms": ms / 1.1, "latency_hi_ms": ms * 1.1, "contended": 0} if status == "ok" else {}
    rounds = {clock: [ms, ms * 1.001, ms] for clock in ("clean", "cpu", "wall")} if values else {}
    return Record(Job(Cell(method, 56, 56, **cell), "latency", Timing(), "c"), status, detail, values, rounds, env="e1")


def params(method, count):
    return Record(Job(Cell(method, 56, 56), "params", Protocol(), "c"), "ok", "", {"params_count": count}, env="e1")


def at(side, record):
    return replace(record, job=replace(record.job, cell=replace(record.job.cell, height=side, width=side)))


def trained(method, accuracy, seed=0, task=TASK, status="ok", detail="", network="mixer", rounds=(), evals=(), **values):
    cell = replace(accuracy_cell(Cell(method, 8, 8), task, network), seed=seed)
    results = {"accuracy": accuracy, "accuracy_floor": 50.0, "accuracy_floor_of": "chance", "accuracy_lr": 0.02}
    results |= {"accuracy_validation": accuracy, "accuracy_params": 1234, "accuracy_train_s": 12.0, "accuracy_epochs": 10}
    return Record(
        Job(cell, "accuracy", task, "c"), status, detail,
        {**results, **values} if status == "ok" else {}, dict(rounds), list(evals), env="e1",
    )  # fmt: skip


def seeds(method, *accuracies, **kwargs):
    return [trained(method, accuracy, seed, **kwargs) for seed, accuracy in enumerate(accuracies)]


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]


def steady(method, ms, half=0.01, session=1.0, env="e1", **cell):
    """Return a latency of eight equal rounds with a relative half-width of `half`."""
    record = latency(method, ms, **cell)
    record.values.update(latency_lo_ms=ms * (1 - half), latency_hi_ms=ms * (1 + half), rounds=8, timer="wall")
    rounds = {clock: [ms] * 8 for clock in ("clean", "cpu", "wall")}
    return replace(record, rounds=rounds, session=session, env=env)


def memory(method, size, status="ok", env="e1", session=1.0):
    values = {"mem_peak_bytes": size} if status == "ok" else {}
    detail = "" if status == "ok" else "no room"
    return Record(Job(Cell(method, 56, 56), "memory", Protocol(), "c"), status, detail, values, env=env, session=session)


def seeded(method, *percents, data="digits", env="e1"):
    task = replace(Training(), data=data)
    for seed, percent in enumerate(percents):
        cell = replace(accuracy_cell(Cell(method, 56, 56), task), seed=seed)
        status = "ok" if percent is not None else "oom"
        values = {} if percent is None else {"accuracy": percent}
        yield Record(Job(cell, "accuracy", task, "c"), status, "", values, env=env, started=float(seed))


def journal(*records, name="run", envs=(ENV,)):
    runs = [{"command": "x", "started": 1.0, "baseline": "dwconv7"}]
    by_key = {f"{number} {record.job.key()}": record for number, record in enumerate(records)}
    return Journal(Path(f"results/{name}/journal.jsonl"), by_key, {env["id"]: env for env in envs}, runs)


@pytest.fixture(autouse=True)
def this_machine(monkeypatch):
    """Pretend to be the machine of `ENV`."""
    monkeypatch.setattr(machine, "hardware", lambda: {"cpu": "Processor", "cores": 2})


def accuracy_page(tmp_path, *records):
    """Return the leaderboard sections of a run with these records in markdown."""
    path = tmp_path / "run" / JOURNAL
    with Writer(path) as writer:
        writer.env(ENV)
        writer.run({"command": "c", "started": 1.0, "baseline": "none"})
        for record in records:
            writer.record(record)
    journal = read_journal(path)
    return document(sections(journal, complete_rows(journal)))
