"""The commands `compare`, `ab` and `audit`: their work."""

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
from bench import journal, names
from bench.cli.run import FAILED_JOBS, check_threads
from bench.executors.process import Pool
from bench.executors.worker import WorkerDied
from bench.names import cell_of
from bench.runner import ab, audit_text
from bench.runner.audit import PLUGIN, Experiment, audit
from bench.runner.devices import resolve
from bench.runner.sources import load_plugins, source_digests
from bench.spec import Cell, Limits, Record
from bench.system import ceilings


def compare_runs(run_a: Path, run_b: Path, metric: str, threshold: float, gate: bool, as_json: bool) -> int:
    """Print the comparison of two runs and return the exit status. Raises ValueError and CorruptJournal."""
    from bench.report.compare import text
    from bench.report.compare.runs import as_data, compare, exit_status

    if threshold >= 1:
        raise ValueError(f"--threshold {threshold:.0%} is not below 100%: 5% is written 5% or 0.05")
    a, b = (journal.read_journal(_journal_in(run)) for run in (run_a, run_b))
    rows = compare(a, b, metric, threshold)
    if as_json:
        facts = {"metric": metric, "threshold": threshold, "a": str(a.path), "b": str(b.path)}
        click.echo(json.dumps(facts | as_data(rows), indent=2))
    else:
        click.echo(text.text(rows, a, b, metric, threshold, shutil.get_terminal_size((132, 24)).columns))
    return exit_status(rows, gate)


def _journal_in(run: Path) -> Path:
    path = run / journal.JOURNAL if run.is_dir() else run
    if not path.is_file():
        raise ValueError(f"no {journal.JOURNAL} in {run}" if run.is_dir() else f"no such run: {run}")
    return path


def run_ab(labels: tuple[str, str], options: dict[str, Any], command: str) -> int:
    """Compare two methods, print the verdict and return the exit status. Raises ValueError, ImportError and OSError."""
    plugin_code = load_plugins(options["plugins"])
    known = {entry.name: entry for entry in methods.catalogue()}
    check_threads(options["threads"])
    height, width = options["res"]
    axes = {axis: options[axis] for axis in ("channels", "batch", "dtype", "mode", "threads", "seed")}
    sides = [cell_of(label, known, height=height, width=width, alias=side, **axes) for side, label in zip("AB", labels)]
    pool = Pool(options["plugins"], malloc=options["malloc"])
    env = _environment(pool)
    (device,) = resolve([options["device"]], len(env["gpus"]))
    a, b = (replace(cell, device=device) for cell in sides)
    writer = _new_journal(options["out"]) if options["out"] else None
    with writer or nullcontext():
        started = time.time()
        try:
            result = ab.trial(
                pool, a, b, ab.fixed_rounds(a, options["timer"], options["rounds"]), Limits(options["timeout"], math.inf)
            )
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        click.echo(ab.text(result))
        try:
            if writer:
                _save(writer, result.records, env, source_digests(known, plugin_code), command, started)
        except journal.CannotWrite as error:
            click.echo(f"Error: {error}", err=True)
            return FAILED_JOBS
    return FAILED_JOBS if result.verdict == "failed" else 0


def _new_journal(folder: Path) -> journal.Writer:
    """Open a journal in an empty folder: records of a trial would change the baseline of a sweep's leaderboard."""
    if (folder / journal.JOURNAL).exists():
        raise ValueError(f"{folder} already holds a run: choose another folder with -o")
    return journal.Writer(folder / journal.JOURNAL)


def _environment(pool: Pool) -> dict[str, Any]:
    try:
        return pool.collect_env()
    except WorkerDied as death:
        raise ImportError(f"no worker could start: {death.detail}") from death


def _save(
    writer: journal.Writer, records: Sequence[Record], env: dict[str, Any], code: dict[str, str], command: str, started: float
) -> None:
    """Append the records of a trial to its journal, as a run."""
    methods_measured = {record.job.cell.method for record in records}
    writer.env(env | {"ceilings": ceilings.load(env["id"])})
    writer.run(
        {
            "command": command,
            "started": started,
            "env": env["id"],
            "commit": env["commit"],
            "baseline": "none",
            "jobs": len(records),
            "code": {name: code[name] for name in methods_measured},
        }
    )
    for record in records:
        job = replace(record.job, code=code[record.job.cell.method])
        writer.record(replace(record, job=job, env=env["id"], session=started))


def run_audit(options: dict[str, Any]) -> bool:
    """Audit this machine, print and save the results, and return whether it is sound. Raises ValueError and OSError."""
    from bench.report.leaderboard.page import environment_text

    known = {entry.name: entry for entry in methods.catalogue()}
    selected = names.select((options["method"], *options["patterns"]), known, kernel=False)
    pool = Pool((PLUGIN,), malloc=options["malloc"])
    env = _environment(pool)
    (device,) = resolve([options["device"]], len(env["gpus"]))
    height, width = options["res"]
    cell = Cell(options["method"], height, width, options["channels"], device=device)
    experiment = Experiment(options["trials"], options["load"], options["timer"], Limits())
    if options["out"]:
        options["out"].mkdir(parents=True, exist_ok=True)  # fail before minutes of measuring
    try:
        result = audit(pool, cell, selected, experiment, lambda line: click.echo(line, err=True))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    click.echo(audit_text.text(result))
    if options["out"]:
        (options["out"] / "audit.json").write_text(json.dumps(result.to_json() | {"env": env}, indent=1) + "\n", encoding="utf-8")
        (options["out"] / "AUDIT.md").write_text(audit_text.page(result, environment_text(env)), encoding="utf-8")
    return result.sound
