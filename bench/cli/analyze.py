"""The command `analyze`: analyses of the kernels of a network."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench import names
from bench.cli import types
from bench.cli.common_args import clear_errors, plugin_option, repeated

FOLDER = click.Path(file_okay=False, path_type=Path)
PATH = click.Path(exists=True, path_type=Path)
SEEDS = 5


@click.group()
def analyze() -> None:
    """Analyse kernels: their effective size, their receptive field, and what they can represent."""


def out_option(name: str) -> Callable[[Any], Any]:
    return click.option("-o", "--out", type=FOLDER, default=f"results/{name}", show_default=True)


def network_options(command: Any) -> Any:
    """Add the options that select networks: saved weights, or names."""
    for option in reversed(
        (
            click.argument("weights", nargs=-1, type=PATH, metavar="[WEIGHTS]..."),
            repeated("--backbone", kind=types.NAMES, help="Networks by name, untrained."),
            repeated("--methods", "-m", "patterns", kind=types.METHODS, help="Methods inside the networks."),
            repeated("--res", kind=types.RESOLUTION, default=["224"], show_default=True, help="Image sizes."),
            click.option(
                "--classes", type=click.IntRange(2), default=1000, show_default=True, help="Number of classes of networks by name."
            ),
            click.option(
                "--load", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="State dict to load into the network."
            ),
            plugin_option,
        )
    ):
        command = option(command)
    return command


@analyze.command()
@network_options
@click.option(
    "--seeds", type=click.IntRange(1), default=SEEDS, show_default=True, help="Number of untrained copies to compare with."
)
@click.option("--notebook", is_flag=True, help="Also compute the mass ratio of the published notebook.")
@out_option("localisation")
def localisation(**options: Any) -> None:
    """Measure how large kernels are: mass by window size for each layer, compared with untrained copies and with uniform mass.

    WEIGHTS are files that `run --keep-weights` saved, or folders of them. The last saved epoch of each training is analysed.
    """
    _analyse_networks("localisation", options, seeds=options["seeds"], notebook=options["notebook"])


@analyze.command()
@network_options
@out_option("masks")
def masks(**options: Any) -> None:
    """Measure FlexConv's learned sizes over training: masks, cropped kernels, and their frequencies relative to Nyquist.

    WEIGHTS should hold every epoch (`run --keep-weights epochs`).
    """
    _analyse_networks("masks", options)


@analyze.command(name="receptive-field")
@network_options
@click.option("--data", help="Data set to average over: NAME[option=value]; default: that of the training.")
@click.option("--images", type=click.IntRange(1), default=64, show_default=True, help="Number of images.")
@out_option("receptive-field")
def receptive_field(**options: Any) -> None:
    """Measure the effective receptive field before and after training: areas with 20, 50 and 99% of the gradient."""
    _analyse_networks("receptive_field", options, data_name=options["data"], images=options["images"])


@analyze.command()
@click.option("--steps", type=click.IntRange(1), default=5000, show_default=True)
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True)
@repeated("--nets", kind=types.NAMES, help="Kernel networks; default: all.")
@repeated("--targets", kind=types.NAMES, help="Target kernels; default: all.")
@out_option("fitting")
def fitting(**options: Any) -> None:
    """Fit kernel networks to 33x33 targets: Gabor functions of increasing frequency, an edge filter and noise."""
    from bench.analysis.fitting import analysis

    with clear_errors():
        env = _begin(options["out"])
        _write(analysis.analyse(options["nets"], options["targets"], options["steps"], options["seeds"]), options["out"], env)


@analyze.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
def crossover(run: Path) -> None:
    """Print the kernel size from which the Fourier form is faster, from a RUN of dwconv_direct and dwconv_fft."""
    from bench import journal
    from bench.report.leaderboard.crossover import sections

    with clear_errors():
        lines = list(sections(journal.read_journal(run / journal.JOURNAL)))
        if not lines:
            raise ValueError(f"{run} did not measure both forms over kernel sizes: run dwconv_direct,dwconv_fft with --kernel")
    click.echo("\n".join(lines).rstrip())


def _analyse_networks(kind: str, options: dict[str, Any], **settings: Any) -> None:
    """Run `bench.analysis.KIND.analysis.analyse(networks, **settings)` and write its results."""
    import importlib

    with clear_errors():
        env = _begin(options["out"])
        module: Any = importlib.import_module(f"bench.analysis.{kind}.analysis")
        _write(module.analyse(_networks(options), **settings), options["out"], env)


def _networks(options: dict[str, Any]) -> Any:
    import methods
    from bench.analysis import network
    from bench.cli.networks import check
    from bench.runner.sources import load_plugins

    load_plugins(options["plugins"])
    if options["weights"]:
        if options["backbone"] or options["load"]:
            raise ValueError("give either saved weights or --backbone, not both")
        return network.from_weights(options["weights"])
    if not options["backbone"]:
        raise ValueError("give saved weights, or --backbone for networks by name")
    known = {entry.name: entry for entry in methods.catalogue()}
    selected = names.select(options["patterns"], known, kernel=False)
    check(options["backbone"], selected, options["res"][0])
    return network.by_name(options["backbone"], selected, options["res"], known, options["load"], options["classes"])


def _begin(out: Path) -> dict[str, Any]:
    """Return the environment before the analysis starts. Raises ValueError if the output page was written by hand."""
    from bench.analysis.output import PAGE
    from bench.report.text import replaceable
    from bench.system.environment import collect

    replaceable(out / PAGE)
    return collect()


def _write(findings: Any, out: Path, env: dict[str, Any]) -> None:
    from bench.analysis import output

    for path in output.write(findings, out, shlex.join(["python", "-m", "bench", *sys.argv[1:]]), env):
        click.echo(path)
