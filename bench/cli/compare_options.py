"""The commands `compare`, `ab` and `audit`: their options."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from bench.cli import types
from bench.cli.common_args import clear_errors, malloc_option, plugin_option, repeated, single, timer_option
from bench.columns import METRICS

RUN = click.Path(path_type=Path)


@click.command()
@click.argument("run_a", type=RUN)
@click.argument("run_b", type=RUN)
@click.option("--metric", type=click.Choice(METRICS), default="latency", show_default=True)
@click.option("--threshold", type=types.SHARE, default="5%", show_default=True, help="Smallest difference that counts.")
@click.option(
    "--fail-on", type=click.Choice(["slower"]), help="Exit status 1 if a cell of B is slower, or worse in another metric."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(run_a: Path, run_b: Path, metric: str, threshold: float, fail_on: str | None, as_json: bool) -> None:
    """Compare two runs, RUN_A and RUN_B (folders or journals), cell by cell.

    The ratio is B over A. A cell is faster or slower (for other metrics better or worse) if the whole 95% interval lies beyond the
    threshold, and unclear if the interval crosses it. Two runs an hour apart differ by more than their intervals show; use `ab` for
    differences below 5%. Accuracy is compared in percentage points. Cells are not comparable if hardware, driver, torch, allocator
    or protocol differ in a way that the metric depends on.

    Exit status: 3 if a cell failed in either run, or is missing in B; with --fail-on 2 if no cell is comparable and 1 for a
    regression; else 0.
    """
    from bench.cli.compare import compare_runs

    with clear_errors():
        status = compare_runs(run_a, run_b, metric, threshold, fail_on is not None, as_json)
    raise SystemExit(status)


@click.command()
@click.argument("a")
@click.argument("b")
@single("--res", kind=types.RESOLUTION, required=True, help="Feature map size: 224 or 64x96.")
@single("--channels", kind=types.POSITIVE, default="64", show_default=True)
@single("--batch", kind=types.POSITIVE, default="1", show_default=True)
@single("--dtype", kind=types.DTYPE, default="fp32", show_default=True)
@single("--mode", kind=types.MODE, default="infer", show_default=True)
@single("--device", kind=types.DEVICE, default="auto", show_default=True)
@single("--threads", kind=types.POSITIVE, default="1", show_default=True, help="CPU threads.")
@single("--seed", kind=types.NATURAL, default="0", show_default=True)
@click.option("--rounds", type=click.IntRange(2, 300), default=60, show_default=True, help="More rounds narrow the interval.")
@click.option(
    "--timeout", type=types.SECONDS, default="10min", show_default=True, help="Time limit per side; it is killed after it."
)
@timer_option
@plugin_option
@malloc_option
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), help="Save the records to a journal in this folder.")
def ab(a: str, b: str, **options: Any) -> None:
    """Measure which of two methods is faster. A and B are NAME or 'NAME[OPTION=VALUE,...]', such as niff 'niff[hidden=16]'.

    Both are measured in interleaved rounds and compared round by round. The verdict is faster or slower only if the whole 95%
    interval of the ratio lies outside a region of practical equivalence: 2% on a CPU, 1% on a GPU. Options are those of `run
    --set`; kernel=K sets the kernel size.

    Exit status: 3 if A or B failed, else 0.
    """
    from bench.cli.compare import run_ab

    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    with clear_errors():
        status = run_ab((a, b), options, command)
    raise SystemExit(status)


@click.command()
@click.option("--method", default="dwconv7", show_default=True, help="Method to compare with itself.")
@repeated("--methods", "-m", "patterns", kind=types.METHODS, default=["all"], show_default=True, help="Methods of the two sweeps.")
@single("--res", kind=types.RESOLUTION, default="56", show_default=True)
@single("--channels", kind=types.POSITIVE, default="64", show_default=True)
@single("--device", kind=types.DEVICE, default="auto", show_default=True)
@click.option("--trials", type=click.IntRange(2, 1000), default=20, show_default=True, help="Trials of each kind.")
@click.option("--load", type=click.IntRange(0), default=0, show_default=True, help="Number of cores to keep busy during the audit.")
@timer_option
@malloc_option
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), help="Write audit.json and AUDIT.md there.")
def audit(**options: Any) -> None:
    """Check whether latencies measured on this machine are trustworthy today. Takes about two minutes.

    Three experiments: a method against itself must not be called faster or slower; 5% more work must be detected; two runs of one
    sweep must agree on the ranking. Exit status: 0 if ratios are trustworthy, else 1.
    """
    from bench.cli.compare import run_audit

    with clear_errors():
        sound = run_audit(options)
    raise SystemExit(0 if sound else 1)


COMMANDS = (compare, ab, audit)
