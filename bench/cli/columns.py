"""The command `columns`: the data dictionary."""

from __future__ import annotations

import click

from bench.cli.common_args import command
from bench.columns import ACCURACY_COLUMNS, COLUMNS
from bench.options import Options


@command(Options)
def main(options: Options) -> None:
    """Describe every column of the tables."""
    for name, explained in (("table.csv", COLUMNS), ("accuracy.csv", ACCURACY_COLUMNS)):
        click.echo(name)
        for column in explained:
            click.echo(f"  {column.name:18} {column.unit:5} {column.meaning}")
