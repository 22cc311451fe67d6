"""The command line: options of each command. Slow imports happen inside the command that needs them."""

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
from bench.cli import compare_options, report_options, types
from bench.cli.analyze import analyze
from bench.cli.common_args import clear_errors, malloc_option, plugin_option, repeated, timer_option, training_options
from bench.columns import ACCURACY_COLUMNS, COLUMNS, DEFAULT_METRICS, METRICS, columns_of

BASELINE = "dwconv7"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="large-kernel-bench")
def main() -> None:
    """Benchmark large-kernel operators for vision: FLOPs, latency, memory and accuracy."""


@main.command()
@repeated("--methods", "-m", "patterns", kind=types.METHODS, help="Names, globs such as 'niff*', or all.")
@repeated("--res", kind=types.RESOLUTION, required=True, help="Feature map sizes, for networks image sizes: 224,512 or 64x96.")
@click.option(
    "--level",
    type=click.Choice(["op", "model"]),
    default="op",
    show_default=True,
    help="op: single operators; model: whole networks.",
)
@repeated("--backbone", kind=types.NAMES, help="Networks to measure; at level op the networks for accuracy (default mixer).")
@repeated("--channels", kind=types.POSITIVE, default=["64"], show_default=True)
@repeated("--batch", kind=types.POSITIVE, default=["1"], show_default=True)
@repeated("--kernel", kind=types.POSITIVE, help="Kernel sizes, for methods that take one.")
@repeated("--dtype", kind=types.DTYPE, default=["fp32"], show_default=True, help="fp32 or bf16 (autocast).")
@repeated("--mode", kind=types.MODE, default=["infer"], show_default=True, help="infer, or train (forward and backward).")
@repeated("--device", kind=types.DEVICE, default=["auto"], show_default=True, help="auto, cpu, cuda or cuda:i.")
@repeated("--threads", kind=types.POSITIVE, default=["1"], show_default=True, help="CPU threads.")
@repeated("--seed", kind=types.NATURAL, default=["0"], show_default=True)
@repeated(
    "--metrics",
    kind=types.METRIC,
    default=[",".join(DEFAULT_METRICS)],
    show_default=True,
    help="Also available: energy, properties.",
)
@timer_option
@click.option("--rounds", type=click.IntRange(2), help="Minimum rounds per latency; default 10.")
@click.option("--max-rounds", type=click.IntRange(2), help="Maximum rounds per latency; default 25.")
@click.option("--target", type=types.SHARE, help="Stop at this half-width of the 95% interval; default 2%.")
@click.option("--set", "overrides", multiple=True, metavar="METHOD.OPTION=VALUE", help="Override an option of a method.")
@click.option(
    "--baseline",
    default=BASELINE,
    show_default=True,
    help="Method that speedups refer to; it is measured too. 'none' for no baseline. "
    "For networks a label such as 'resnet18 + niff'; default: the first network as published.",
)
@training_options
@plugin_option
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), default="results/local", show_default=True)
@click.option("--executor", type=click.Choice(["process", "inline"]), default="process", show_default=True)
@click.option(
    "--start", type=click.Choice(["forkserver", "spawn"]), default="forkserver", show_default=True, help="How workers start."
)
@malloc_option
@click.option(
    "--timeout", type=types.SECONDS, default="300", show_default=True, help="Time limit per job; the job is killed after it."
)
@click.option(
    "--max-cell-time", type=types.SECONDS, default="120", show_default=True, help="Jobs predicted to take longer are skipped."
)
@click.option("--mem-limit", type=types.BYTES, help="Memory limit per job, such as 4GB; default: the free memory.")
@click.option("--force", is_flag=True, help="Measure finished jobs again.")
@click.option("--retry", type=click.Choice(["failed"]), help="Measure failed jobs again.")
@click.option("--figures", is_flag=True, help="Draw figures; default: only if the run already has figures.")
@click.option("--dry-run", is_flag=True, help="Print the plan and measure nothing.")
def run(patterns: tuple[str, ...], **options: Any) -> None:
    """Measure a sweep, then write its tables and the leaderboard. Running the same command again resumes the sweep."""
    from bench.cli.run import follow, plan_sweep, run_sweep
    from bench.executors import torchrun_env

    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    with clear_errors():
        torchrun_env.prepare(options["metrics"])
        if torchrun_env.follows():
            follow(options)
            return
        sweep = plan_sweep(patterns, options, command)
        if options["dry_run"]:
            return
        writer = sweep.open()
    run_sweep(sweep, writer, options["figures"])  # later errors are bugs, not invalid input


@main.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
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
        listing = {
            "methods": [asdict(entry) for entry in entries],
            "metrics": list(METRICS),
            "data": data.names(),
            "networks": nets.names(),
            "recipes": {name: asdict(recipe) for name, recipe in recipes.RECIPES.items()},
        }
        click.echo(json.dumps(listing, indent=2, default=repr))
        return
    width = max(len(entry.name) for entry in entries)
    click.echo("Methods")
    for entry in entries:
        click.echo(f"  {entry.name:{width}}  {entry.summary}")
    click.echo("Metrics")
    for metric in METRICS:
        click.echo(f"  {metric:{width}}  {', '.join(columns_of(metric))}")
    click.echo("Data sets")
    for name, summary in data.summaries().items():
        click.echo(f"  {name:{width}}  {summary}")
    click.echo("Networks (--backbone), in addition to those of timm and torchvision")
    for family in nets.FAMILIES.values():
        click.echo(f"  {', '.join(family)}")
    click.echo("Training recipes")
    for name in recipes.RECIPES:
        click.echo(f"  {name:{width}}  {recipes.summary(name)}")


@main.command()
@click.argument("method")
@repeated("--backbone", kind=types.NAMES, help="Networks of timm or torchvision: list the replaced convolutions.")
@repeated("--res", kind=types.RESOLUTION, default=["224"], show_default=True, help="Image sizes for --backbone.")
@plugin_option
def info(method: str, backbone: tuple[str, ...], res: tuple[tuple[int, int], ...], plugins: tuple[str, ...]) -> None:
    """Describe a method, its paper and its options; with --backbone, list the convolutions that it replaces in a network."""
    from bench.cli.run import describe, describe_replacements

    with clear_errors():
        click.echo(describe_replacements(method, backbone, res, plugins) if backbone else describe(method, plugins))


@main.command()
@click.argument("target", metavar="METHOD|FILE")
@plugin_option
def check(target: str, plugins: tuple[str, ...]) -> None:
    """Check the contract of a method, or of all methods that a file registers. Exit status 1 if a check fails."""
    from bench.cli.run import check_contract

    with clear_errors():
        failures = check_contract(target, plugins)
    raise SystemExit(1 if failures else 0)


@main.command()
@click.option("--measure", is_flag=True, help="Measure the peak rates of this machine and save them: about 15 s.")
@repeated("--device", kind=types.DEVICE, default=["auto"], show_default=True, help="Device to measure.")
@repeated("--threads", kind=types.POSITIVE, default=["1"], show_default=True, help="CPU threads to measure with.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def env(as_json: bool, measure: bool, device: tuple[str, ...], threads: tuple[int, ...]) -> None:
    """Show the environment as a run records it, and the measured peak rates of the machine."""
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
            requested = itertools.product(resolve(device, len(facts["gpus"])), threads) if measure else ()
            for name, count in requested:
                click.echo(f"measuring the peak rates of {name} with {count} thread{'s' if count > 1 else ''}", err=True)
                ceilings.save(facts["id"], name, count, pool.ask(do="ceilings", device=name, threads=count))
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
    """Describe every column of the tables."""
    for name, explained in (("table.csv", COLUMNS), ("accuracy.csv", ACCURACY_COLUMNS)):
        click.echo(name)
        for column in explained:
            click.echo(f"  {column.name:18} {column.unit:5} {column.meaning}")


for command in (*report_options.COMMANDS, *compare_options.COMMANDS, analyze):
    main.add_command(command)
