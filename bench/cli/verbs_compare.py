"""The verbs that compare: two runs, two methods, a machine with itself."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from bench.cli import types as options
from bench.cli.common_args import clear_errors, malloc_option, plugin_option, repeated, single, timer_option
from bench.columns import METRICS

RUN = click.Path(path_type=Path)


@click.command()
@click.argument("run_a", type=RUN)
@click.argument("run_b", type=RUN)
@click.option("--metric", type=click.Choice(METRICS), default="latency", show_default=True)
@click.option("--threshold", type=options.SHARE, default="5%", show_default=True, help="A difference within it is none.")
@click.option("--fail-on", type=click.Choice(["slower"]), help="Exit 1 where a cell of B is slower, or worse by another metric.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def compare(run_a: Path, run_b: Path, metric: str, threshold: float, fail_on: str | None, as_json: bool) -> None:
    """Compare RUN_B with RUN_A, two folders of runs or their journals, cell by cell, whatever their sources.

    The ratio is B over A. It is faster or slower (better or worse, where it is no time) where its whole interval leaves the
    threshold, unclear where the interval crosses it. Two runs an hour apart differ by more than the rounds within one of them show:
    `ab` compares closer than 5%. Accuracy is compared in points. Cells are not comparable where hardware, driver, torch, allocator
    or protocol differ, as far as the metric depends on them.

    Exit 3 where a cell failed in either run, or was measured in A and could not be in B. Otherwise, with --fail-on: 2 where no cell
    could be compared, 1 for a regression. Otherwise 0.
    """
    from bench.cli.compare import compare_runs

    with clear_errors():
        status = compare_runs(run_a, run_b, metric, threshold, fail_on is not None, as_json)
    raise SystemExit(status)


@click.command()
@click.argument("a")
@click.argument("b")
@single("--res", kind=options.RESOLUTION, required=True, help="Feature map size: 224 or 64x96.")
@single("--channels", kind=options.POSITIVE, default="64", show_default=True)
@single("--batch", kind=options.POSITIVE, default="1", show_default=True)
@single("--dtype", kind=options.DTYPE, default="fp32", show_default=True)
@single("--mode", kind=options.MODE, default="infer", show_default=True)
@single("--device", kind=options.DEVICE, default="auto", show_default=True)
@single("--threads", kind=options.POSITIVE, default="1", show_default=True, help="CPU threads.")
@single("--seed", kind=options.NATURAL, default="0", show_default=True)
@click.option("--rounds", type=click.IntRange(2, 300), default=60, show_default=True, help="More of them narrow the interval.")
@click.option("--timeout", type=options.SECONDS, default="10min", show_default=True, help="Of each side; then it is killed.")
@timer_option
@plugin_option
@malloc_option
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), help="Keep the records in this folder's journal.")
def ab(a: str, b: str, **given: Any) -> None:
    """Time A and B side by side and say which is faster: NAME or 'NAME[OPTION=VALUE,...]', such as niff 'niff[hidden=16]'.

    Both are measured in interleaved rounds and compared round by round. The verdict needs the whole interval of the ratio to leave
    a region of practical equivalence: 2% on a CPU, 1% on a GPU. Values are those of `run --set`; kernel=K is the kernel size.

    Exit 0, decided or not; 3 where A or B failed.
    """
    from bench.cli.compare import run_ab

    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    with clear_errors():
        status = run_ab((a, b), given, command)
    raise SystemExit(status)


@click.command()
@click.option("--method", default="dwconv7", show_default=True, help="Timed against itself.")
@repeated("--methods", "-m", "words", kind=options.METHODS, default=["all"], show_default=True, help="Of the two sweeps.")
@single("--res", kind=options.RESOLUTION, default="56", show_default=True)
@single("--channels", kind=options.POSITIVE, default="64", show_default=True)
@single("--device", kind=options.DEVICE, default="auto", show_default=True)
@click.option("--trials", type=click.IntRange(2, 1000), default=20, show_default=True, help="Of each kind.")
@click.option("--load", type=click.IntRange(0), default=0, show_default=True, help="Cores to keep busy meanwhile.")
@timer_option
@malloc_option
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), help="Write audit.json and AUDIT.md there.")
def audit(**given: Any) -> None:
    """Find out whether this machine's latencies can be trusted today: about two minutes.

    Times a method against itself, which must not be called faster or slower; an operator against itself with 5% more work, which
    must be found; and one sweep twice, whose rankings must agree. Exit 0 where ratios can be trusted, 1 where not.
    """
    from bench.cli.compare import run_audit

    with clear_errors():
        sound = run_audit(given)
    raise SystemExit(0 if sound else 1)


VERBS = (compare, ab, audit)
