"""The command line: one file per command, imported when the command is used. A thin layer over the Python functions."""

from __future__ import annotations

import importlib
from typing import Any

import click

COMMANDS = {  # file -> first line of its help
    "ab": "Measure which of two methods is faster.",
    "analyze": "Analyse kernels: their effective size, their receptive field, and what they can represent.",
    "audit": "Check whether latencies measured on this machine are trustworthy today.",
    "check": "Check the contract of a method, or of all methods that a file registers.",
    "columns": "Describe every column of the tables.",
    "compare": "Compare two runs cell by cell.",
    "env": "Show the environment as a run records it, and the measured peak rates of the machine.",
    "info": "Describe a method, or with --backbone the convolutions that it replaces.",
    "list": "List methods, metrics, data sets, networks and training recipes.",
    "recommend": "Recommend the fastest method at a setting within limits.",
    "report": "Write the tables, figures and LEADERBOARD.md of the runs in a folder.",
    "run": "Measure a sweep, then write its tables and the leaderboard.",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used: the help of the group needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        try:
            module: Any = importlib.import_module(f"bench.cli.{cmd_name}")
        except ValueError as error:  # the declaration of a metric is invalid
            raise click.ClickException(str(error)) from error
        command: click.Command = module.main
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from bench.system.version import version_text

        click.echo(version_text())
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print version and commit."
)
def main() -> None:
    """Benchmark large-kernel operators for vision: FLOPs, latency, memory and accuracy."""
