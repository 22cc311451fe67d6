"""The verbs: parse, call, print. What costs time to import is imported inside the verb that needs it."""

from __future__ import annotations

import itertools
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

import methods
from bench.cli import types as options
from bench.cli.analyze import analyze
from bench.cli.common_args import clear_errors, malloc_option, plugin_option, repeated, timer_option, training_options
from bench.cli.verbs_compare import VERBS
from bench.cli.verbs_report import VERBS as READING
from bench.columns import ACCURACIES, COLUMNS, METRICS, USUAL, of

BASELINE = "dwconv7"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="large-kernel-bench")
def main() -> None:
    """Compare large-kernel methods for vision: FLOPs, latency, memory and accuracy, in one honest table."""


@main.command()
@repeated("--methods", "-m", "words", kind=options.METHODS, help="Names, globs such as 'niff*', or all.")
@repeated("--res", kind=options.RESOLUTION, required=True, help="Feature map sizes (of a network: image sizes): 224,512 or 64x96.")
@click.option("--level", type=click.Choice(["op", "model"]), default="op", show_default=True, help="Operators, or networks.")
@repeated("--backbone", kind=options.WORDS, help="Networks; of level op: in which accuracy is measured, by default mixer.")
@repeated("--channels", kind=options.POSITIVE, default=["64"], show_default=True)
@repeated("--batch", kind=options.POSITIVE, default=["1"], show_default=True)
@repeated("--kernel", kind=options.POSITIVE, help="Kernel sizes, for methods that take one.")
@repeated("--dtype", kind=options.DTYPE, default=["fp32"], show_default=True, help="fp32, bf16 (autocast).")
@repeated("--mode", kind=options.MODE, default=["infer"], show_default=True, help="infer, train (forward and backward).")
@repeated("--device", kind=options.DEVICE, default=["auto"], show_default=True, help="auto, cpu, cuda or cuda:i.")
@repeated("--threads", kind=options.POSITIVE, default=["1"], show_default=True, help="CPU threads.")
@repeated("--seed", kind=options.NATURAL, default=["0"], show_default=True)
@repeated("--metrics", kind=options.METRIC, default=[",".join(USUAL)], show_default=True, help="Also energy, properties.")
@timer_option
@click.option("--rounds", type=click.IntRange(2), help="Of a latency at least; default 10.")
@click.option("--max-rounds", type=click.IntRange(2), help="At most; default 25.")
@click.option("--target", type=options.SHARE, help="Half-width of its interval at which rounds end; default 2%.")
@click.option("--set", "overrides", multiple=True, metavar="METHOD.OPTION=VALUE", help="Override an option of a method.")
@click.option(
    "--baseline",
    default=BASELINE,
    show_default=True,
    help="Measured beside the others and compared with; 'none' for none. "
    "Of networks: a label such as 'resnet18 + niff'; by default the first one as published.",
)
@training_options
@plugin_option
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), default="results/local", show_default=True)
@click.option("--executor", type=click.Choice(["process", "inline"]), default="process", show_default=True)
@click.option("--start", type=click.Choice(["forkserver", "spawn"]), default="forkserver", show_default=True, help="Of workers.")
@malloc_option
@click.option("--timeout", type=options.SECONDS, default="300", show_default=True, help="Of a job; then it is killed.")
@click.option("--max-cell-time", type=options.SECONDS, default="120", show_default=True, help="Predicted to exceed it: skipped.")
@click.option("--mem-limit", type=options.BYTES, help="Of a job, such as 4GB; default: what is free.")
@click.option("--force", is_flag=True, help="Measure again what is done.")
@click.option("--retry", type=click.Choice(["failed"]), help="Measure again what failed.")
@click.option("--figures", is_flag=True, help="Draw them too; else only where the run has some.")
@click.option("--dry-run", is_flag=True, help="Print the plan and measure nothing.")
def run(words: tuple[str, ...], **given: Any) -> None:
    """Measure a sweep and write its tables and the leaderboard. A second run of the same command resumes."""
    from bench.cli.run import follow, plan_sweep, run_sweep
    from bench.executors import torchrun_env as launch

    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    with clear_errors():
        launch.prepare(given["metrics"])
        if launch.follows():
            follow(given)
            return
        sweep = plan_sweep(words, given, command)
        if given["dry_run"]:
            return
        writer = sweep.open()
    run_sweep(sweep, writer, given["figures"])  # from here on an error is the program's own


@main.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@plugin_option
def list_(as_json: bool, plugins: tuple[str, ...]) -> None:
    """List methods, metrics, data sets, networks and training recipes."""
    from bench import data, nets
    from bench.runner.sources import load_plugins
    from bench.training import recipes

    with clear_errors():
        load_plugins(plugins)
    entries = methods.catalogue()
    if as_json:
        found = {
            "methods": [asdict(entry) for entry in entries],
            "metrics": list(METRICS),
            "data": data.names(),
            "networks": nets.names(),
            "recipes": {name: asdict(recipe) for name, recipe in recipes.RECIPES.items()},
        }
        click.echo(json.dumps(found, indent=2, default=repr))
        return
    width = max(len(entry.name) for entry in entries)
    click.echo("Methods")
    for entry in entries:
        click.echo(f"  {entry.name:{width}}  {entry.summary}")
    click.echo("Metrics")
    for metric in METRICS:
        click.echo(f"  {metric:{width}}  {', '.join(of(metric))}")
    click.echo("Data sets")
    for name, summary in data.summaries().items():
        click.echo(f"  {name:{width}}  {summary}")
    click.echo("Networks (--backbone), besides those of timm and torchvision")
    for family in nets.FAMILIES.values():
        click.echo(f"  {', '.join(family)}")
    click.echo("Training recipes")
    for name in recipes.RECIPES:
        click.echo(f"  {name:{width}}  {recipes.summary(name)}")


@main.command()
@click.argument("method")
@repeated("--backbone", kind=options.WORDS, help="Networks of timm or torchvision: what the method takes the place of there.")
@repeated("--res", kind=options.RESOLUTION, default=["224"], show_default=True, help="Of their images.")
@plugin_option
def info(method: str, backbone: tuple[str, ...], res: tuple[tuple[int, int], ...], plugins: tuple[str, ...]) -> None:
    """Describe one method: what it is, its paper, its options; or what it exchanges in a network, layer by layer."""
    from bench.cli.run import describe, exchanged

    with clear_errors():
        click.echo(exchanged(method, backbone, res, plugins) if backbone else describe(method, plugins))


@main.command()
@click.argument("target", metavar="METHOD|FILE")
@plugin_option
def check(target: str, plugins: tuple[str, ...]) -> None:
    """Run the contract that every method must keep on one method, or on those that a file registers. Exit 1 where one fails."""
    from bench.cli.run import check_contract

    with clear_errors():
        failures = check_contract(target, plugins)
    raise SystemExit(1 if failures else 0)


@main.command()
@click.option("--measure", is_flag=True, help="Measure its ceilings and keep them for later runs: about 15 s.")
@repeated("--device", kind=options.DEVICE, default=["auto"], show_default=True, help="To measure.")
@repeated("--threads", kind=options.POSITIVE, default=["1"], show_default=True, help="To measure with.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def env(as_json: bool, measure: bool, device: tuple[str, ...], threads: tuple[int, ...]) -> None:
    """Show the machine and the software as a run records them, and what is known of its ceilings: the rates that limit a cell."""
    from bench.executors.process import Pool
    from bench.executors.worker import WorkerDied
    from bench.runner.devices import resolve
    from bench.system import ceilings
    from bench.tables import roofline

    pool = Pool()
    try:
        facts = pool.collect_env()
        with clear_errors():
            if max(threads) > facts["cores"]:
                raise ValueError(f"--threads {max(threads)} is more than the {facts['cores']} cores of this machine")
            wanted = itertools.product(resolve(device, len(facts["gpus"])), threads) if measure else ()
            for place, count in wanted:
                click.echo(f"measuring the ceilings of {place} with {count} thread{'s' if count > 1 else ''}", err=True)
                ceilings.save(facts["id"], place, count, pool.ask(do="ceilings", device=place, threads=count))
    except WorkerDied as death:
        raise click.ClickException(f"a worker {death.status}: {death.detail}") from death
    known = ceilings.load(facts["id"])
    if as_json:
        click.echo(json.dumps(facts | {"ceilings": known}, indent=2))
        return
    click.echo("\n".join(f"{name:15} {value}" for name, value in facts.items()))
    click.echo(roofline.describe(known))


@main.command()
def columns() -> None:
    """Explain every column of the tables."""
    for name, explained in (("table.csv", COLUMNS), ("accuracy.csv", ACCURACIES)):
        click.echo(name)
        for column in explained:
            click.echo(f"  {column.name:18} {column.unit:5} {column.meaning}")


for verb in (*READING, *VERBS, analyze):
    main.add_command(verb)
