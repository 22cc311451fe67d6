"""Records and journals of the tests of the figures."""

from bench.journal import JOURNAL, Journal
from bench.spec import Cell, Job, Protocol, Record, Timing, Training

ENV = {"id": "e1", "ceilings": {"cpu/1": {"copy": {"hot": [[1e3, 1e10], [1e9, 1e10]]}, "linear": {"fp32": 1e11}, "fft": 5e10}}}


def latency(method, ms, size=56, status="ok", **cell):
    """Return a latency whose rounds agree to 0.1% and belong to one session."""
    values = {"latency_ms": ms, "latency_lo_ms": 0.9 * ms, "latency_hi_ms": 1.1 * ms, "contended": 0} if status == "ok" else {}
    rounds = {clock: [ms, 1.001 * ms, ms] for clock in ("clean", "cpu", "wall")} if values else {}
    job = Job(Cell(method, size, size, **cell), "latency", Timing(), "c")
    return Record(job, status, "why", values, rounds, env="e1", session=1.0)


def other(metric, method, size=56, **values):
    return Record(Job(Cell(method, size, size), metric, Protocol(), "c"), "ok", "", values, env="e1")


def training(method, data, *accuracies, status="ok"):
    """Yield one record per seed."""
    for seed, accuracy in enumerate(accuracies):
        cell = Cell(method, 32, 32, channels=0, level="model", mode="train", seed=seed, network="mixer")
        values = {"accuracy": accuracy, "accuracy_floor": 50.0, "accuracy_floor_of": "chance", "accuracy_network": "mixer"}
        values |= {"accuracy_data": data, "accuracy_res": 32, "accuracy_images": 1000}
        yield Record(Job(cell, "accuracy", Training(data=data), "c"), status, "", values if status == "ok" else {}, env="e1")


def journal_of(tmp_path, *records):
    runs = [{"command": "python -m bench run", "started": 1.0, "baseline": "dwconv7"}]
    return Journal(
        tmp_path / JOURNAL,
        {record.job.key(): record for record in records},
        {"e1": ENV, "unused": ENV | {"id": "unused"}},
        runs,
    )
