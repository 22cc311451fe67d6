"""The work of the verbs that compare."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import methods
from bench import journal as store
from bench import names
from bench.cli.run import FAILED_JOBS, check_threads
from bench.executors.process import Pool
from bench.executors.worker import WorkerDied
from bench.names import cell_of
from bench.runner.ab import fixed_rounds, text, trial
from bench.runner.audit import PLUGIN, Experiment, audit
from bench.runner.audit_text import page
from bench.runner.audit_text import text as findings
from bench.runner.devices import resolve
from bench.runner.sources import load_plugins, source_digests
from bench.spec import Cell, Limits, Record
from bench.system import ceilings


def compare_runs(run_a: Path, run_b: Path, metric: str, threshold: float, gate: bool, as_json: bool) -> int:
    """Print the comparison of two runs; the exit status. Raises ValueError, or CorruptJournal."""
    from bench.report.compare.runs import as_data, compare, exit_status
    from bench.report.compare.text import text as written

    if threshold >= 1:
        raise ValueError(f"--threshold {threshold:.0%} is not below 100%: 5% is written 5% or 0.05")
    a, b = (store.read(_journal_in(run)) for run in (run_a, run_b))
    rows = compare(a, b, metric, threshold)
    if as_json:
        facts = {"metric": metric, "threshold": threshold, "a": str(a.path), "b": str(b.path)}
        click.echo(json.dumps(facts | as_data(rows), indent=2))
    else:
        click.echo(written(rows, a, b, metric, threshold, shutil.get_terminal_size((132, 24)).columns))
    return exit_status(rows, gate)


def _journal_in(run: Path) -> Path:
    path = run / store.NAME if run.is_dir() else run
    if not path.is_file():
        raise ValueError(f"no {store.NAME} in {run}" if run.is_dir() else f"there is no run {run}")
    return path


def run_ab(labels: tuple[str, str], given: dict[str, Any], command: str) -> int:
    """Measure two cells side by side and print the verdict; the exit status. Raises ValueError, ImportError, OSError."""
    plugin_code = load_plugins(given["plugins"])
    known = {entry.name: entry for entry in methods.catalogue()}
    check_threads(given["threads"])
    height, width = given["res"]
    axes = {axis: given[axis] for axis in ("channels", "batch", "dtype", "mode", "threads", "seed")}
    sides = [cell_of(label, known, height=height, width=width, alias=side, **axes) for side, label in zip("AB", labels)]
    pool = Pool(given["plugins"], malloc=given["malloc"])
    env = _environment(pool)
    (device,) = resolve([given["device"]], len(env["gpus"]))
    a, b = (replace(cell, device=device) for cell in sides)
    writer = _fresh_journal(given["out"]) if given["out"] else None
    with writer or nullcontext():
        started = time.time()
        try:
            result = trial(pool, a, b, fixed_rounds(a, given["timer"], given["rounds"]), Limits(given["timeout"], math.inf))
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        click.echo(text(result))
        try:
            if writer:
                _keep(writer, result.records, env, source_digests(known, plugin_code), command, started)
        except store.CannotWrite as error:
            click.echo(f"Error: {error}", err=True)
            return FAILED_JOBS
    return FAILED_JOBS if result.verdict == "failed" else 0


def _fresh_journal(folder: Path) -> store.Writer:
    """A journal of its own: beside a sweep's records a trial's would change what its leaderboard compares with."""
    if (folder / store.NAME).exists():
        raise ValueError(f"{folder} holds a run already: choose another folder with -o")
    return store.Writer(folder / store.NAME)


def _environment(pool: Pool) -> dict[str, Any]:
    try:
        return pool.collect_env()
    except WorkerDied as death:
        raise ImportError(f"no worker could start: {death.detail}") from death


def _keep(
    writer: store.Writer, records: Sequence[Record], env: dict[str, Any], code: dict[str, str], command: str, started: float
) -> None:
    """Append a trial's records as those of a run."""
    names = {record.job.cell.method for record in records}
    writer.env(env | {"ceilings": ceilings.load(env["id"])})
    writer.run(
        {
            "command": command,
            "started": started,
            "env": env["id"],
            "commit": env["commit"],
            "baseline": "none",
            "jobs": len(records),
            "code": {name: code[name] for name in names},
        }
    )
    for record in records:
        job = replace(record.job, code=code[record.job.cell.method])
        writer.record(replace(record, job=job, env=env["id"], session=started))


def run_audit(given: dict[str, Any]) -> bool:
    """Audit this machine, print the findings, and keep them where asked; whether it is sound. Raises ValueError, OSError."""
    from bench.report.leaderboard.page import machine

    known = {entry.name: entry for entry in methods.catalogue()}
    chosen = names.select((given["method"], *given["words"]), known, kernel=False)
    pool = Pool((PLUGIN,), malloc=given["malloc"])
    env = _environment(pool)
    (device,) = resolve([given["device"]], len(env["gpus"]))
    height, width = given["res"]
    cell = Cell(given["method"], height, width, given["channels"], device=device)
    experiment = Experiment(given["trials"], given["load"], given["timer"], Limits())
    if given["out"]:
        given["out"].mkdir(parents=True, exist_ok=True)  # before minutes of measuring, not after
    try:
        found = audit(pool, cell, chosen, experiment, lambda line: click.echo(line, err=True))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    click.echo(findings(found))
    if given["out"]:
        (given["out"] / "audit.json").write_text(json.dumps(found.to_json() | {"env": env}, indent=1) + "\n", encoding="utf-8")
        (given["out"] / "AUDIT.md").write_text(page(found, machine(env)), encoding="utf-8")
    return found.sound
