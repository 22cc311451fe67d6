"""The command `list`: what can be measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import click

import methods
from bench.cli.common_args import clear_errors, command
from bench.columns import METRICS, columns_of
from bench.options import JsonOption, PluginOptions


@dataclass(frozen=True, kw_only=True)
class ListOptions(JsonOption, PluginOptions):
    """Options of the command."""


@command(ListOptions)
def main(options: ListOptions) -> None:
    """List methods, metrics, data sets, networks and training recipes."""
    from bench.runner.sources import load_plugins

    with clear_errors():
        load_plugins(options.plugins)
    click.echo(json.dumps(as_data(), indent=2, default=repr) if options.as_json else "\n".join(lines()))


def as_data() -> dict[str, Any]:
    """Return everything as JSON data."""
    from bench import data, nets
    from bench.training import recipes

    return {
        "methods": [asdict(entry) for entry in methods.catalogue()],
        "metrics": list(METRICS),
        "data": data.names(),
        "networks": nets.names(),
        "recipes": {name: asdict(recipe) for name, recipe in recipes.RECIPES.items()},
    }


def lines() -> Iterator[str]:
    """Yield everything as lines of text."""
    from bench import data, nets
    from bench.training import recipes

    entries = methods.catalogue()
    width = max(len(entry.name) for entry in entries)
    yield "Methods"
    yield from (f"  {entry.name:{width}}  {entry.summary}" for entry in entries)
    yield "Metrics"
    yield from (f"  {metric:{width}}  {', '.join(columns_of(metric))}" for metric in METRICS)
    yield "Data sets"
    yield from (f"  {name:{width}}  {summary}" for name, summary in data.summaries().items())
    yield "Networks (--backbone), in addition to those of timm and torchvision"
    yield from (f"  {', '.join(family)}" for family in nets.FAMILIES.values())
    yield "Training recipes"
    yield from (f"  {name:{width}}  {recipes.summary(name)}" for name in recipes.RECIPES)
