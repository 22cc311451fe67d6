"""The verbs that read: reports of what was measured, and what it recommends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli import types as options
from bench.cli.common_args import clear_errors, repeated, single

RESULTS = click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default="results")
PAGE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@RESULTS
@click.option("--sort", default="latency_ms", show_default=True, help="Column to rank by: any with a better direction.")
@repeated(
    "--group",
    kind=options.AXIS,
    default=["res,channels,batch,threads,dtype,mode"],
    show_default=True,
    help="Axes that split tables, kernel too; across the others rows are compared, each varying one in a column.",
)
@click.option("--baseline", help="Compare with this method, or network's label, in place of each run's own.")
@repeated(
    "--format",
    "formats",
    kind=options.FORMAT,
    default=["markdown"],
    show_default=True,
    help="Besides markdown and csv, which are always written: html, json, parquet, latex.",
)
@click.option("--figures/--no-figures", default=True, show_default=True, help="Draw the figures of the runs.")
@click.option("--page", type=PAGE, help="Fill the tables marked in this page too.")
def report(folder: Path, page: Path | None, **given: Any) -> None:
    """Write the tables, figures and LEADERBOARD.md of every run in FOLDER again, from the journals alone.

    --sort, --group and --baseline act on LEADERBOARD.md and table.tex; the other tables, the page and the figures stay as they are.
    With them LEADERBOARD.md says that it is not the usual one, until the next report or run writes that, ranked by latency.
    """
    from bench.cli.report import rebuild

    with clear_errors():
        for path in rebuild(folder, page, **given):
            click.echo(path)


@click.command()
@RESULTS
@single("--res", kind=options.RESOLUTION, required=True, help="Feature map size: 224 or 64x96.")
@single("--channels", kind=options.POSITIVE, required=True)
@single("--batch", kind=options.POSITIVE, default="1", show_default=True)
@single("--dtype", kind=options.DTYPE, default="fp32", show_default=True)
@single("--mode", kind=options.MODE, default="infer", show_default=True)
@single("--device", kind=options.DEVICE, default="auto", show_default=True, help="auto: each that was measured on.")
@single("--threads", kind=options.POSITIVE, default="1", show_default=True, help="CPU threads.")
@click.option("--max-latency", type=options.SECONDS, help="Of a call, such as 5ms.")
@click.option("--max-memory", type=options.BYTES, help="Peak of a call, such as 100MB.")
@click.option("--min-accuracy", type=click.FloatRange(0, 100), metavar="PERCENT", help="Of a network with the operator inside.")
@click.option("--data", help="The task of that accuracy; default: the one that most methods were trained on.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def recommend(folder: Path, as_json: bool, **given: Any) -> None:
    """Name the fastest method at a setting within limits, with the evidence from the runs in FOLDER, or say what must be run.

    A limit is kept where the whole 95% interval is within it. Nothing is extrapolated from other settings, and machines are
    answered for one by one, this one first.

    Exit 0 where a method is recommended, 1 where none can be.
    """
    from bench.cli.report import recommended

    with clear_errors():
        found = recommended(folder, given, as_json)
    raise SystemExit(0 if found else 1)


VERBS = (report, recommend)
