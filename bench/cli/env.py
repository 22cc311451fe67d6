"""The command `env`: the machine, and its peak rates."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from bench.axes import threads_text
from bench.cli.common_args import clear_errors, command
from bench.kinds import DEVICE, POSITIVE, SWITCH
from bench.options import JsonOption, option

if TYPE_CHECKING:
    from bench.executors.process import Pool


@dataclass(frozen=True, kw_only=True)
class EnvOptions(JsonOption):
    """Options of the command."""

    measure: bool = option(False, "Measure the peak rates of this machine and save them: about 15 s.", SWITCH)
    device: tuple[str, ...] = option(("auto",), "Device to measure.", DEVICE, many=True)
    threads: tuple[int, ...] = option((1,), "CPU threads to measure with.", POSITIVE, many=True)


@command(EnvOptions)
def main(options: EnvOptions) -> None:
    """Show the environment as a run records it, and the measured peak rates of the machine."""
    from bench.executors.process import Pool
    from bench.executors.worker import WorkerDied
    from bench.system import ceilings
    from bench.tables import roofline

    pool = Pool()
    try:
        facts = pool.collect_env()
        with clear_errors():
            measure(options, pool, facts)
    except WorkerDied as death:
        raise click.ClickException(f"a worker {death.status}: {death.detail}") from death
    known = ceilings.load(facts["id"])
    if options.as_json:
        click.echo(json.dumps(facts | {"ceilings": known}, indent=2))
        return
    click.echo("\n".join(f"{name:15} {value}" for name, value in facts.items()))
    click.echo(roofline.describe(known))


def measure(options: EnvOptions, pool: Pool, facts: dict[str, Any]) -> None:
    """Measure and save the peak rates, if requested. Raises ValueError for a missing device or too many threads."""
    from bench.plan import resolve
    from bench.system import ceilings

    if max(options.threads) > facts["cores"]:
        raise ValueError(f"--threads {max(options.threads)} is more than the {facts['cores']} cores of this machine")
    devices = resolve(options.device, len(facts["gpus"]))
    for name, count in itertools.product(devices, options.threads) if options.measure else ():
        click.echo(f"measuring the peak rates of {name} with {threads_text(count)}", err=True)
        ceilings.save(facts["id"], name, count, pool.ask(do="ceilings", device=name, threads=count))
