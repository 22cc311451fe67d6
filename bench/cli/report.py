"""The command `report`: write the reports of runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from bench.axes import SPLITTING
from bench.cli.common_args import clear_errors, command
from bench.journal import JOURNAL, runs_in
from bench.kinds import FILE, FOLDER, SWITCH, TEXT, choice
from bench.options import Options, option

FORMATS = ("markdown", "html", "csv", "json", "parquet", "latex")


@dataclass(frozen=True, kw_only=True)
class ReportOptions(Options):
    """Options of the command."""

    folder: Path = option(Path("results"), "A run, or a folder of runs.", FOLDER, argument=True)
    sort: str = option("latency_ms", "Column to rank by; it must have a better direction.", TEXT)
    group: tuple[str, ...] = option(
        tuple(axis for axis in SPLITTING if axis != "kernel"),
        "Axes that split the tables (also: kernel). Rows are compared across the other axes, which get columns.",
        choice(*SPLITTING, name="AXIS"),
        many=True,
    )
    baseline: str | None = option(None, "Method, or network label, that replaces the baseline of each run.", TEXT)
    formats: tuple[str, ...] = option(
        ("markdown",),
        "In addition to markdown and csv: html, json, parquet, latex.",
        choice(*FORMATS, name="FORMAT"),
        "--format",
        many=True,
    )
    figures: bool = option(True, "Draw the figures of the runs (default) or not.", SWITCH, "--figures/--no-figures")
    page: Path | None = option(None, "Also update the tables marked in this markdown file.", FILE)


@command(ReportOptions)
def main(options: ReportOptions) -> None:
    """Write the tables, figures and LEADERBOARD.md of the runs in a folder.

    Everything is computed from the journals. --sort, --group and --baseline affect LEADERBOARD.md and table.tex only.
    LEADERBOARD.md then states its options; the next report or run without them writes the default page, ranked by latency.
    """
    with clear_errors():
        for path in rebuild(options):
            click.echo(path)


def rebuild(options: ReportOptions) -> list[Path]:
    """Write the reports of every run in a folder, or of the run in it, and the marked tables of a page. Return the paths.

    Raises ValueError if there is no run, and for an invalid view or an unavailable format.
    """
    from bench.report.leaderboard.extract import fill
    from bench.report.leaderboard.view import View
    from bench.report.write import write_reports

    folder, page = options.folder.resolve(), options.page
    runs = runs_in(folder)
    if not runs:
        raise ValueError(f"no {JOURNAL} in {folder} or in its subfolders")
    written = write_reports(runs, View(options.sort, options.group, options.baseline), options.formats, options.figures)
    if page is not None:
        page.write_text(fill(page.read_text(encoding="utf-8"), folder), encoding="utf-8")
        written.append(page)
    return list(dict.fromkeys(written))
