"""The command `ab`: which of two methods is faster."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import MISSING, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import methods
from bench.axes import PER_CELL, fields
from bench.cli.common_args import FAILED_JOBS, clear_errors, command, typed_command
from bench.kinds import NEW_FOLDER, SECONDS, TEXT, number
from bench.names import cell_of
from bench.options import PluginOptions, group, option
from bench.runner.options import ALLOCATORS, TIMERS, SettingOptions
from bench.spec import Cell, Limits

if TYPE_CHECKING:
    from bench.executors.process import Pool
    from bench.journal import Writer


@dataclass(frozen=True, kw_only=True)
class AbOptions(PluginOptions):
    """Options of the command."""

    a: str = option(MISSING, "The first method.", TEXT, argument=True)
    b: str = option(MISSING, "The second method.", TEXT, argument=True)
    setting: Any = group(SettingOptions)
    rounds: int = option(60, "More rounds narrow the interval.", number(2, 300))
    timeout: float = option(600.0, "Time limit per side; it is killed after it; default 10min.", SECONDS)
    timer: str = option("cold", "Latency timer on a GPU.", TIMERS)
    malloc: str = option("tuned", "C allocator of the workers.", ALLOCATORS)
    out: Path | None = option(None, "Save the records to a journal in this folder.", NEW_FOLDER, "-o", "--out")


@command(AbOptions)
def main(options: AbOptions) -> None:
    """Measure which of two methods is faster.

    A and B are NAME or 'NAME[OPTION=VALUE,...]', such as niff 'niff[hidden=16]'. Both are measured in interleaved rounds and
    compared round by round. The verdict is faster or slower only if the whole 95% interval of the ratio lies outside a region of
    practical equivalence: 2% on a CPU, 1% on a GPU. Options are those of `run --set`; kernel=K sets the kernel size.

    Exit status: 3 if A or B failed, else 0.
    """
    with clear_errors():
        status = run_ab(options)
    raise SystemExit(status)


def run_ab(options: AbOptions) -> int:
    """Compare two methods, print the verdict and return the exit status. Raises ValueError, ImportError and OSError."""
    from bench.journal import CannotWrite
    from bench.runner import ab, sources

    code = sources.load_plugins(options.plugins)
    known = {entry.name: entry for entry in methods.catalogue()}
    pool, env, sides = prepare(options, known)
    writer = new_journal(options.out) if options.out else None
    protocol = ab.fixed_rounds(sides[0], options.timer, options.rounds)
    with writer or nullcontext():
        started = time.time()
        try:
            result = ab.trial(pool, sides, protocol, Limits(timeout=options.timeout, cell_seconds=math.inf))
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        click.echo(ab.text(result))
        try:
            if writer:
                facts = {"command": typed_command(), "started": started, "code": sources.source_digests(known, code)}
                ab.save(writer, result.records, env, facts)
        except CannotWrite as error:
            click.echo(f"Error: {error}", err=True)
            return FAILED_JOBS
    return FAILED_JOBS if result.verdict == "failed" else 0


def prepare(options: AbOptions, known: dict[str, methods.Entry]) -> tuple[Pool, dict[str, Any], tuple[Cell, Cell]]:
    """Return the workers, their environment, and the cells of both sides. Raises ValueError and ImportError."""
    from bench.executors.process import Pool
    from bench.plan import resolve
    from bench.runner.environment import environment
    from bench.runner.request import check_threads

    setting = fields(vars(options.setting), PER_CELL)
    check_threads(setting["threads"])
    sides = [cell_of(label, known, alias=side, **setting) for side, label in zip("AB", (options.a, options.b))]
    pool = Pool(tuple(map(str, options.plugins)), malloc=options.malloc)
    env = environment(pool)
    (device,) = resolve([setting["device"]], len(env["gpus"]))
    return pool, env, (replace(sides[0], device=device), replace(sides[1], device=device))


def new_journal(folder: Path) -> Writer:
    """Open a journal in an empty folder: records of a trial would change the baseline of a sweep's leaderboard."""
    from bench.journal import JOURNAL, Writer

    if (folder / JOURNAL).exists():
        raise ValueError(f"{folder} already holds a run: choose another folder with -o")
    return Writer(folder / JOURNAL)
