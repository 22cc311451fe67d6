"""The command `info`: a method, its paper and its options, or the convolutions that it replaces."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import MISSING, dataclass

import click

import methods
from bench import names
from bench.cli.common_args import clear_errors, command
from bench.kinds import RESOLUTION, TEXT
from bench.options import NAMES, PluginOptions, option
from methods import Entry, Unsupported

Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class InfoOptions(PluginOptions):
    """Options of the command."""

    method: str = option(MISSING, "Name of the method.", TEXT, argument=True)
    backbone: tuple[str, ...] = option((), "Networks of timm or torchvision: list the replaced convolutions.", NAMES, many=True)
    res: tuple[Size, ...] = option(((224, 224),), "Image sizes for --backbone; default 224.", RESOLUTION, many=True)


@command(InfoOptions)
def main(options: InfoOptions) -> None:
    """Describe a method, or with --backbone the convolutions that it replaces.

    The description has the docstring of the method, its paper and its options.
    """
    from bench.runner.sources import load_plugins

    with clear_errors():
        load_plugins(options.plugins)
        click.echo(describe_replacements(options) if options.backbone else describe(options.method))


def describe(name: str) -> str:
    """Return the docstring of a method, its paper and its options. Raises UnknownMethod."""
    method = methods.get(name)
    entry = method.entry
    fixed = [f"{option} = {value!r}" for option, value in entry.hparams.items()]
    free = [f"{option} = {value!r}" for option, value in entry.options.items() if option not in {*entry.hparams, "kernel_size"}]
    needed = [
        f"{option} (--kernel)" if option == "kernel_size" else option for option in entry.required if option not in entry.hparams
    ]
    lines = [name, "", inspect.cleandoc(method.cls.__doc__ or ""), "", f"Paper: {entry.paper or 'none given'}"]
    lines += [f"Fixed by the name: {', '.join(fixed)}"] if fixed else []
    lines += [f"Needed: {', '.join(needed)}"] if needed else []
    lines += ["Takes --kernel"] if entry.takes_kernel and not entry.needs_kernel else []
    lines += [f"Options (--set {name}.OPTION=VALUE): {', '.join(free)}"] if free else []
    return "\n".join(lines)


def describe_replacements(options: InfoOptions) -> str:
    """Describe the convolutions that a method replaces in each network at each resolution. Raises ValueError."""
    known = methods.catalogue()
    return "\n\n".join(replaced(network, options.method, known, res) for network in options.backbone for res in options.res)


def replaced(network: str, method: str, known: Iterable[Entry], res: tuple[int, int]) -> str:
    """Describe which convolutions a method replaces in a library's network at a resolution. Raises ValueError."""
    from bench import nets
    from bench.runner import networks
    from bench.workload.build import Workload

    if nets.kind_of(network) != "library":
        raise ValueError(f"'{network}' is our own network: convolutions are replaced only in networks of timm and torchvision")
    networks.check([network], (), res)
    entries = {entry.name: entry for entry in known}
    axes = {"height": res[0], "width": res[1], "channels": 3, "mode": "train", "level": "model"}
    cell = names.cell_of(f"{network} + {method}", entries, **axes)
    try:
        module = Workload(cell).build("meta")
    except Unsupported as reason:
        raise ValueError(f"{cell.label}: {reason}") from reason
    return "\n".join([f"{cell.label}, images of {cell.res} px", "", str(module.replacements)])
