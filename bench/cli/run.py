"""The command `run`: measure a sweep."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click

from bench.cli.common_args import FAILED_JOBS, clear_errors, command, typed_command
from bench.kinds import SWITCH
from bench.options import option
from bench.runner.options import RunOptions


@dataclass(frozen=True, kw_only=True)
class RunCommand(RunOptions):
    """Options of the command."""

    dry_run: bool = option(False, "Print the plan and measure nothing.", SWITCH)


@command(RunCommand)
def main(options: RunCommand) -> None:
    """Measure a sweep, then write its tables and the leaderboard. Running the same command again resumes the sweep."""
    from bench.executors import torchrun_env
    from bench.runner.progress import plan_lines
    from bench.runner.sweep import measure, plan_sweep

    with clear_errors():
        if torchrun_env.prepare(options.metrics):  # not the first process
            if not options.dry_run:
                torchrun = importlib.import_module("bench.executors.torchrun")  # imports torch
                torchrun.follow(options.workers.plugins)
            return
        sweep = plan_sweep(options, typed_command())
        click.echo(sweep.summary(), err=True)
        if options.training.keep_weights and len(sweep.todo) < len(sweep.jobs):
            click.echo("--keep-weights does not save weights of finished trainings: train again with --force", err=True)
        if options.dry_run:
            click.echo("\n".join(plan_lines(sweep.estimates())))
            return
        writer = sweep.open()
    with resumable(typed_command()):  # later errors are bugs, not invalid input
        failed, paths = measure(sweep, writer, options.figures)
    click.echo("\n".join(map(str, paths)))
    if failed:
        click.echo(f"{failed} of {len(sweep.todo)} jobs failed; the leaderboard lists the reasons", err=True)
        raise SystemExit(FAILED_JOBS)


@contextmanager
def resumable(command: str) -> Iterator[None]:
    """Exit with the command that resumes the sweep if it is interrupted or the disk is full."""
    from bench.journal import CannotWrite

    resume = f"all finished jobs are saved. Resume with: {command}"
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\ninterrupted; {resume}", err=True)
        raise SystemExit(130) from None
    except CannotWrite as error:
        click.echo(f"Error: {error}; {resume}", err=True)
        raise SystemExit(FAILED_JOBS) from None
