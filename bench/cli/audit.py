"""The command `audit`: whether latencies on this machine are trustworthy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import click

import methods
from bench.cli.common_args import clear_errors, command
from bench.kinds import DEVICE, NEW_FOLDER, POSITIVE, RESOLUTION, TEXT, number
from bench.names import select
from bench.options import METHODS, Options, option
from bench.runner.options import ALLOCATORS, BASELINE, TIMERS


@dataclass(frozen=True, kw_only=True)
class AuditOptions(Options):
    """Options of the command."""

    method: str = option(BASELINE, "Method to compare with itself.", TEXT)
    patterns: tuple[str, ...] = option(("all",), "Methods of the two sweeps.", METHODS, "--methods", "-m", many=True)
    res: tuple[int, int] = option((56, 56), "Feature map size; default 56.", RESOLUTION)
    channels: int = option(64, "Channels of the feature map.", POSITIVE)
    device: str = option("auto", "auto, cpu, cuda or cuda:i.", DEVICE)
    trials: int = option(20, "Trials of each kind.", number(2, 1000))
    load: int = option(0, "Number of cores to keep busy during the audit.", number(0))
    timer: str = option("cold", "Latency timer on a GPU.", TIMERS)
    malloc: str = option("tuned", "C allocator of the workers.", ALLOCATORS)
    out: Path | None = option(None, "Write audit.json and AUDIT.md there.", NEW_FOLDER, "-o", "--out")


@command(AuditOptions)
def main(options: AuditOptions) -> None:
    """Check whether latencies measured on this machine are trustworthy today.

    Three experiments, in about two minutes: a method against itself must not be called faster or slower; 5% more work must be
    detected; two runs of one sweep must agree on the ranking. Exit status: 0 if ratios are trustworthy, else 1.
    """
    with clear_errors():
        sound = run_audit(options)
    raise SystemExit(0 if sound else 1)


def run_audit(options: AuditOptions) -> bool:
    """Audit this machine, print and save the results, and return whether it is sound. Raises ValueError and OSError."""
    from bench.executors.process import Pool
    from bench.plan import resolve
    from bench.report.leaderboard.page import environment_text
    from bench.runner import audit_text
    from bench.runner.audit import PLUGIN, Experiment, audit
    from bench.runner.environment import environment
    from bench.spec import Cell

    known = {entry.name: entry for entry in methods.catalogue()}
    selected = select((options.method, *options.patterns), known, kernel=False)
    pool = Pool((PLUGIN,), malloc=options.malloc)
    env = environment(pool)
    (device,) = resolve([options.device], len(env["gpus"]))
    cell = Cell(options.method, *options.res, options.channels, device=device)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)  # fail before minutes of measuring
    try:
        experiment = Experiment(trials=options.trials, load=options.load, timer=options.timer)
        result = audit(pool, cell, selected, experiment, lambda line: click.echo(line, err=True))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    click.echo(audit_text.text(result))
    if options.out:
        (options.out / "audit.json").write_text(json.dumps(result.to_json() | {"env": env}, indent=1) + "\n", encoding="utf-8")
        (options.out / "AUDIT.md").write_text(audit_text.page(result, environment_text(env)), encoding="utf-8")
    return result.sound
