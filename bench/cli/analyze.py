"""The command `analyze`: analyses of the kernels of a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.common_args import clear_errors, command, typed_command
from bench.kinds import EXISTING, FILE, FOLDER, NEW_FOLDER, POSITIVE, RESOLUTION, SWITCH, TEXT, number
from bench.options import METHODS, NAMES, Options, PluginOptions, option

if TYPE_CHECKING:
    from bench.analysis.network import Network

Size = tuple[int, int]


def out_option(name: str) -> Any:
    return option(Path(f"results/{name}"), "Folder of the results.", NEW_FOLDER, "-o", "--out")


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(PluginOptions):
    """Options that select networks: saved weights, or names."""

    weights: tuple[Path, ...] = option((), "Saved weights.", EXISTING, many=True, commas=False, argument=True)
    backbone: tuple[str, ...] = option((), "Networks by name, untrained.", NAMES, many=True)
    patterns: tuple[str, ...] = option((), "Methods inside the networks.", METHODS, "--methods", "-m", many=True)
    res: tuple[Size, ...] = option(((224, 224),), "Image sizes; default 224.", RESOLUTION, many=True)
    classes: int = option(1000, "Number of classes of networks by name.", number(2))
    load: Path | None = option(None, "State dict to load into the network.", FILE)


@dataclass(frozen=True, kw_only=True)
class LocalisationOptions(NetworkOptions):
    """Options of `analyze localisation`."""

    seeds: int = option(5, "Number of untrained copies to compare with.", POSITIVE)
    notebook: bool = option(False, "Also compute the mass ratio of the published notebook.", SWITCH)
    out: Path = out_option("localisation")


@dataclass(frozen=True, kw_only=True)
class MaskOptions(NetworkOptions):
    """Options of `analyze masks`."""

    out: Path = out_option("masks")


@dataclass(frozen=True, kw_only=True)
class FieldOptions(NetworkOptions):
    """Options of `analyze receptive-field`."""

    data: str | None = option(None, "Data set to average over: NAME[option=value]; default: that of the training.", TEXT)
    images: int = option(64, "Number of images.", POSITIVE)
    out: Path = out_option("receptive-field")


@dataclass(frozen=True, kw_only=True)
class FittingOptions(Options):
    """Options of `analyze fitting`."""

    steps: int = option(5000, "Steps of each fit.", POSITIVE)
    seeds: int = option(1, "Number of seeds.", POSITIVE)
    nets: tuple[str, ...] = option((), "Kernel networks; default: all.", NAMES, many=True)
    targets: tuple[str, ...] = option((), "Target kernels; default: all.", NAMES, many=True)
    out: Path = out_option("fitting")


@dataclass(frozen=True, kw_only=True)
class CrossoverOptions(Options):
    """Options of `analyze crossover`."""

    run: Path = option(MISSING, "A run of dwconv_direct and dwconv_fft.", FOLDER, argument=True)


@click.group()
def main() -> None:
    """Analyse kernels: their effective size, their receptive field, and what they can represent."""


@command(LocalisationOptions, "localisation")
def localisation(options: LocalisationOptions) -> None:
    """Measure how large kernels are: mass by window size for each layer, compared with untrained copies and with uniform mass.

    WEIGHTS are files that `run --keep-weights` saved, or folders of them. The last saved epoch of each training is analysed.
    """
    from bench.analysis.localisation.analysis import analyse

    write(options.out, lambda: analyse(networks(options), seeds=options.seeds, notebook=options.notebook))


@command(MaskOptions, "masks")
def masks(options: MaskOptions) -> None:
    """Measure FlexConv's learned sizes over training: masks, cropped kernels, and their frequencies relative to Nyquist.

    WEIGHTS should hold every epoch (`run --keep-weights epochs`).
    """
    from bench.analysis.masks.analysis import analyse

    write(options.out, lambda: analyse(networks(options)))


@command(FieldOptions, "receptive-field")
def receptive_field(options: FieldOptions) -> None:
    """Measure the effective receptive field before and after training: areas with 20, 50 and 99% of the gradient."""
    from bench.analysis.receptive_field.analysis import analyse

    write(options.out, lambda: analyse(networks(options), data_name=options.data, images=options.images))


@command(FittingOptions, "fitting")
def fitting(options: FittingOptions) -> None:
    """Fit kernel networks to 33x33 targets: Gabor functions of increasing frequency, an edge filter and noise."""
    from bench.analysis.fitting.analysis import analyse

    write(options.out, lambda: analyse(options.nets, options.targets, options.steps, options.seeds))


@command(CrossoverOptions, "crossover")
def crossover(options: CrossoverOptions) -> None:
    """Print the kernel size from which the Fourier form is faster, from a RUN of dwconv_direct and dwconv_fft."""
    from bench import journal
    from bench.report import markdown
    from bench.report.leaderboard.crossover import sections

    with clear_errors():
        blocks = list(sections(journal.read_journal(options.run / journal.JOURNAL)))
        if not blocks:
            raise ValueError(
                f"{options.run} did not measure both forms over kernel sizes: run dwconv_direct,dwconv_fft with --kernel"
            )
    click.echo(markdown.document(blocks), nl=False)


for analysis in (crossover, fitting, localisation, masks, receptive_field):
    main.add_command(analysis)


def networks(options: NetworkOptions) -> list[Network]:
    """Return the networks to analyse. Raises ValueError."""
    import methods
    from bench import names
    from bench.analysis import network
    from bench.runner.networks import check
    from bench.runner.sources import load_plugins

    load_plugins(options.plugins)
    if options.weights:
        if options.backbone or options.load:
            raise ValueError("give either saved weights or --backbone, not both")
        return network.from_weights(options.weights)
    if not options.backbone:
        raise ValueError("give saved weights, or --backbone for networks by name")
    known = {entry.name: entry for entry in methods.catalogue()}
    selected = names.select(options.patterns, known, kernel=False)
    check(options.backbone, selected, options.res[0])
    return network.by_name(options.backbone, selected, options.res, known, options.load, options.classes)


def write(out: Path, analyse: Callable[[], Any]) -> None:
    """Run an analysis and write its results. Raises ValueError if the output page was written by hand."""
    from bench.analysis import output
    from bench.report.text import replaceable
    from bench.system.environment import collect

    with clear_errors():
        replaceable(out / output.PAGE)
        env = collect()
        for path in output.write(analyse(), out, typed_command(), env):
            click.echo(path)
