"""The verb `analyze`: what the kernels of a network look like and learned."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench import names
from bench.cli import types as options
from bench.cli.common_args import clear_errors, plugin_option, repeated

FOLDER = click.Path(file_okay=False, path_type=Path)
PLACE = click.Path(exists=True, path_type=Path)
SEEDS = 5


@click.group()
def analyze() -> None:
    """Look into kernels: how large they get, what of the image they see, what they can represent."""


def out_option(name: str) -> Callable[[Any], Any]:
    return click.option("-o", "--out", type=FOLDER, default=f"results/{name}", show_default=True)


def specimen_options(command: Any) -> Any:
    """Which networks: kept weights of trainings, or names."""
    for option in reversed(
        (
            click.argument("weights", nargs=-1, type=PLACE, metavar="[WEIGHTS]..."),
            repeated("--backbone", kind=options.WORDS, help="Networks by name instead, as they begin."),
            repeated("--methods", "-m", "words", kind=options.METHODS, help="Operators inside them."),
            repeated("--res", kind=options.RESOLUTION, default=["224"], show_default=True, help="Of their images."),
            click.option("--classes", type=click.IntRange(2), default=1000, show_default=True, help="Of networks by name."),
            click.option("--load", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="State dict of the network."),
            plugin_option,
        )
    ):
        command = option(command)
    return command


@analyze.command()
@specimen_options
@click.option("--seeds", type=click.IntRange(1), default=SEEDS, show_default=True, help="Of untrained networks beside it.")
@click.option("--notebook", is_flag=True, help="Also the published notebook's mass ratio, off-centre, and its grids.")
@out_option("localisation")
def localisation(**given: Any) -> None:
    """How large the kernels are: mass against window size, per layer, beside untrained kernels and uniform mass.

    WEIGHTS are files that `run --keep-weights` wrote, or folders of them; of each training the last kept epoch is looked at.
    """
    _look("localisation", given, seeds=given["seeds"], notebook=given["notebook"])


@analyze.command()
@specimen_options
@out_option("masks")
def masks(**given: Any) -> None:
    """FlexConv's learned sizes over training: masks, cropped kernels, and frequencies against what the grid can hold.

    WEIGHTS are best those of every epoch (`run --keep-weights epochs`).
    """
    _look("masks", given)


@analyze.command(name="receptive-field")
@specimen_options
@click.option("--data", help="Images to average over: NAME[option=value]; by default those of the training.")
@click.option("--images", type=click.IntRange(1), default=64, show_default=True)
@out_option("receptive-field")
def receptive_field(**given: Any) -> None:
    """What of the image the centre of the last map depends on: mean gradient, area at 20, 50 and 99%, before and after training."""
    _look("receptive_field", given, data=given["data"], images=given["images"])


@analyze.command()
@click.option("--steps", type=click.IntRange(1), default=5000, show_default=True)
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True)
@repeated("--nets", kind=options.WORDS, help="Kernel networks; default: all.")
@repeated("--targets", kind=options.WORDS, help="What is fitted; default: all.")
@out_option("fitting")
def fitting(**given: Any) -> None:
    """What a kernel network can represent: fitted to Gabor functions of rising frequency, an edge filter and noise at 33x33."""
    from bench.analysis.fitting import analysis as fitting

    with clear_errors():
        env = _begin(given["out"])
        _keep(fitting.analyse(given["nets"], given["targets"], given["steps"], given["seeds"]), given["out"], env)


@analyze.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
def crossover(run: Path) -> None:
    """From which kernel size on the Fourier form is faster: of a RUN of dwconv_direct and dwconv_fft, as crossover.csv holds it."""
    from bench import journal as store
    from bench.report.leaderboard.crossover import sections

    with clear_errors():
        lines = list(sections(store.read(run / store.NAME)))
        if not lines:
            raise ValueError(f"{run} did not measure both forms over kernel sizes: run dwconv_direct,dwconv_fft with --kernel")
    click.echo("\n".join(lines).rstrip())


def _look(kind: str, given: dict[str, Any], **settings: Any) -> None:
    """Run one analysis of networks: `bench.analysis.KIND.analyse(specimens, **settings)`."""
    import importlib

    with clear_errors():
        env = _begin(given["out"])
        module: Any = importlib.import_module(f"bench.analysis.{kind}.analysis")
        _keep(module.analyse(_specimens(given), **settings), given["out"], env)


def _specimens(given: dict[str, Any]) -> Any:
    import methods
    from bench.analysis import network as specimen
    from bench.cli.networks import check
    from bench.runner.sources import load_plugins

    load_plugins(given["plugins"])
    if given["weights"]:
        if given["backbone"] or given["load"]:
            raise ValueError("give kept weights, or --backbone for networks by name, not both")
        return specimen.kept_in(given["weights"])
    if not given["backbone"]:
        raise ValueError("give kept weights, or --backbone for networks by name")
    known = {entry.name: entry for entry in methods.catalogue()}
    chosen = names.select(given["words"], known, kernel=False)
    check(given["backbone"], chosen, given["res"][0])
    return specimen.named(given["backbone"], chosen, given["res"], known, given["load"], given["classes"])


def _begin(out: Path) -> dict[str, Any]:
    """The environment before minutes of work, in which sources may change; raises ValueError for a page written by hand."""
    from bench.analysis.output import PAGE
    from bench.report.text import replaceable
    from bench.system.environment import collect

    replaceable(out / PAGE)
    return collect()


def _keep(found: Any, out: Path, env: dict[str, Any]) -> None:
    from bench.analysis import output

    for path in output.write(found, out, shlex.join(["python", "-m", "bench", *sys.argv[1:]]), env):
        click.echo(path)
