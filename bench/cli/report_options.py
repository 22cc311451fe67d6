"""The commands `report` and `recommend`: their options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli import types
from bench.cli.common_args import clear_errors, repeated, single

RESULTS = click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default="results")
PAGE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@RESULTS
@click.option("--sort", default="latency_ms", show_default=True, help="Column to rank by; it must have a better direction.")
@repeated(
    "--group",
    kind=types.AXIS,
    default=["res,channels,batch,threads,dtype,mode"],
    show_default=True,
    help="Axes that split the tables (also: kernel). Rows are compared across the other axes, which get columns.",
)
@click.option("--baseline", help="Method, or network label, that replaces the baseline of each run.")
@repeated(
    "--format",
    "formats",
    kind=types.FORMAT,
    default=["markdown"],
    show_default=True,
    help="In addition to markdown and csv: html, json, parquet, latex.",
)
@click.option("--figures/--no-figures", default=True, show_default=True, help="Draw the figures of the runs.")
@click.option("--page", type=PAGE, help="Also update the tables marked in this markdown file.")
def report(folder: Path, page: Path | None, **options: Any) -> None:
    """Write the tables, figures and LEADERBOARD.md of every run in FOLDER from its journal.

    --sort, --group and --baseline affect LEADERBOARD.md and table.tex only. LEADERBOARD.md then states its options; the next report
    or run without them writes the default page, ranked by latency.
    """
    from bench.cli.report import rebuild

    with clear_errors():
        for path in rebuild(folder, page, **options):
            click.echo(path)


@click.command()
@RESULTS
@single("--res", kind=types.RESOLUTION, required=True, help="Feature map size: 224 or 64x96.")
@single("--channels", kind=types.POSITIVE, required=True)
@single("--batch", kind=types.POSITIVE, default="1", show_default=True)
@single("--dtype", kind=types.DTYPE, default="fp32", show_default=True)
@single("--mode", kind=types.MODE, default="infer", show_default=True)
@single("--device", kind=types.DEVICE, default="auto", show_default=True, help="auto: every device with results.")
@single("--threads", kind=types.POSITIVE, default="1", show_default=True, help="CPU threads.")
@click.option("--max-latency", type=types.SECONDS, help="Latency limit per call, such as 5ms.")
@click.option("--max-memory", type=types.BYTES, help="Peak memory limit per call, such as 100MB.")
@click.option(
    "--min-accuracy", type=click.FloatRange(0, 100), metavar="PERCENT", help="Accuracy limit, of a network with the operator."
)
@click.option("--data", help="Data set of --min-accuracy; default: the one with most trained methods.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def recommend(folder: Path, as_json: bool, **options: Any) -> None:
    """Recommend the fastest method at a setting within limits, with evidence from the runs in FOLDER.

    A method satisfies a limit if the whole 95% interval does. Nothing is extrapolated from other settings: without results the
    answer is the command that measures them. Each machine has its own answer, this one first.

    Exit status: 0 if a method is recommended, else 1.
    """
    from bench.cli.report import recommended

    with clear_errors():
        any_method = recommended(folder, options, as_json)
    raise SystemExit(0 if any_method else 1)


COMMANDS = (report, recommend)
