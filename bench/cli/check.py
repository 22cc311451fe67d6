"""The command `check`: the contract of methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path

import click

import methods
from bench.cli.common_args import clear_errors, command
from bench.kinds import TEXT
from bench.options import PluginOptions, option


@dataclass(frozen=True, kw_only=True)
class CheckOptions(PluginOptions):
    """Options of the command."""

    target: str = option(MISSING, "A method, or a file that registers methods.", TEXT, "METHOD|FILE", argument=True)


@command(CheckOptions)
def main(options: CheckOptions) -> None:
    """Check the contract of a method, or of all methods that a file registers. Exit status 1 if a check fails."""
    with clear_errors():
        failures = check_contract(options.target, options.plugins)
    raise SystemExit(1 if failures else 0)


def check_contract(target: str, plugins: Sequence[Path]) -> int:
    """Print every contract check of the methods that `target` names and return the number of failures.

    A last line per method compares its multiply-adds with those that fvcore counts. It never fails.
    """
    from bench.metrics._fvcore import compare
    from bench.runner.sources import load_plugins
    from bench.spec import Cell
    from bench.workload.build import Workload
    from methods.contract import CHANNELS, KERNEL, check

    load_plugins(plugins)
    if not Path(target).is_file() and ("/" in target or target.endswith(".py")):
        raise ValueError(f"no such file: {target}")
    failures = 0
    for name in load_plugins([target]) if Path(target).is_file() else [target]:
        for what, reason in check(methods.get(name)):
            failures += bool(reason)
            click.echo(f"{name}: {what}: {f'FAILED: {reason}' if reason else 'ok'}")
        kernel = KERNEL if methods.get(name).entry.needs_kernel else None
        click.echo(f"{name}: gmacs: {compare(Workload(Cell(name, 12, 12, CHANNELS, kernel=kernel)))}")
    return failures
