"""The command `compare`: two runs, cell by cell."""

from __future__ import annotations

import json
import shutil
from dataclasses import MISSING, dataclass
from pathlib import Path

import click

from bench import journal
from bench.cli.common_args import clear_errors, command
from bench.columns import METRICS
from bench.kinds import PATH, SHARE, choice
from bench.options import JsonOption, option


@dataclass(frozen=True, kw_only=True)
class CompareOptions(JsonOption):
    """Options of the command."""

    run_a: Path = option(MISSING, "The first run.", PATH, argument=True)
    run_b: Path = option(MISSING, "The second run.", PATH, argument=True)
    metric: str = option("latency", "The metric to compare.", choice(*METRICS))
    threshold: float = option(0.05, "Smallest difference that counts; default 5%.", SHARE)
    fail_on: str | None = option(None, "Exit status 1 if a cell of B is slower, or worse in another metric.", choice("slower"))


@command(CompareOptions)
def main(options: CompareOptions) -> None:
    """Compare two runs cell by cell.

    RUN_A and RUN_B are folders or journals. The ratio is B over A. A cell is faster or slower (for other metrics better or worse)
    if the whole 95% interval lies beyond the threshold, and unclear if the interval crosses it. Two runs an hour apart differ by
    more than their intervals show; use `ab` for differences below 5%. Accuracy is compared in percentage points. Cells are not
    comparable if hardware, driver, torch, allocator or protocol differ in a way that the metric depends on.

    Exit status: 3 if a cell failed in either run, or is missing in B; with --fail-on 2 if no cell is comparable and 1 for a
    regression; else 0.
    """
    with clear_errors():
        status = compare_runs(options)
    raise SystemExit(status)


def compare_runs(options: CompareOptions) -> int:
    """Print the comparison of two runs and return the exit status. Raises ValueError and CorruptJournal."""
    from bench.report.compare.comparison import compare
    from bench.report.compare.text import text

    a, b = (journal.read_journal(journal.path_in(run)) for run in (options.run_a, options.run_b))
    comparison = compare(a, b, options.metric, options.threshold)
    if options.as_json:
        click.echo(json.dumps(comparison.as_data(), indent=2))
    else:
        click.echo(text(comparison, shutil.get_terminal_size((132, 24)).columns))
    return comparison.exit_status(gate=options.fail_on is not None)
