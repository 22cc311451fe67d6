"""Write all reports of the runs in a folder from their journals: tables, pages, figures. Does not import torch."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.journal import JOURNAL, CannotWrite, Journal, read_journal
from bench.names import did_you_mean
from bench.report.export import tables as exports
from bench.report.leaderboard.ranking import DEFAULT_VIEW
from bench.report.leaderboard.view import View
from bench.tables.cells import Row, complete_rows, is_baseline, to_frame, write_tables

if TYPE_CHECKING:
    import pandas as pd

PAGES = ("README.md", "LEADERBOARD.md")  # written next to the folders of the runs, for all runs there


def write_reports(
    runs: Sequence[Path], view: View = DEFAULT_VIEW, formats: Collection[str] = (), figures: bool | None = None
) -> list[Path]:
    """Write the tables of runs in one folder, LEADERBOARD.md over all runs there, and README.md on the columns.

    `figures` selects whether to draw the figures of the runs; None updates the figures of runs that have some. Returns the paths
    written. Raises `CannotWrite` if a file cannot be written, and ValueError if a format, view or baseline is not available.
    """
    from bench.report.data_dictionary import dictionary
    from bench.report.leaderboard.page import leaderboard
    from bench.report.text import write_generated

    exports.check(formats)
    folder = runs[0].parent
    journals = [read_journal(path) for path in sorted(folder.glob(f"*/{JOURNAL}"))]
    default_rows = [complete_rows(journal) for journal in journals]
    view_rows = [complete_rows(journal, view.baseline) for journal in journals] if view.baseline else default_rows
    if view.baseline:
        _check_baseline(view.baseline, view_rows)
    tables = [to_frame(rows) for rows in default_rows]
    paths: list[Path] = []
    try:
        for journal, table, rows, viewed in zip(journals, tables, default_rows, view_rows):
            if journal.path.parent in runs:
                paths += [*write_tables(journal, table), *exports.write(journal, table, viewed, formats, view)]
                paths += write_figures(journal, rows, figures)
        page = leaderboard(journals, view_rows, view, existing_figures(folder, journals), analysis_pages(folder))
        paths += [write_generated(folder / name, text) for name, text in zip(PAGES, (dictionary(), page))]
        paths += write_page(journals, tables, folder / "index.html", "html" in formats)
    except OSError as error:
        raise CannotWrite(f"cannot write {error.filename or folder}: {error.strerror}") from error
    return paths


def _check_baseline(baseline: str, runs: Sequence[Sequence[Row]]) -> None:
    """Raise ValueError if no run has measured the baseline."""
    rows = [row for run in runs for row in run]
    if not any(is_baseline(row, baseline) for row in rows):
        known = dict.fromkeys(row["label" if row["level"] == "model" else "method"] for row in rows)
        raise ValueError(f"--baseline {baseline}: no run has measured it{did_you_mean(baseline, known)}")


def write_page(journals: Sequence[Journal], tables: Sequence[pd.DataFrame], path: Path, requested: bool) -> list[Path]:
    """Write the HTML page of all runs if it is requested or exists already. Return its path.

    Raises ValueError if a requested page cannot be made. An existing page that cannot be updated is reported on stderr.
    """
    if not (requested or path.exists()):
        return []
    from bench.report.page import write  # its libraries are an extra

    try:
        return [write(journals, tables, path)]
    except ValueError as error:
        if requested:
            raise
        print(f"{path} is older than the tables: {error}", file=sys.stderr)
        return []


def write_figures(journal: Journal, rows: Sequence[Row], requested: bool | None) -> list[Path]:
    """Draw the figures of a run into its folder `figures` and return their paths; None: only if that folder exists."""
    folder = journal.path.with_name("figures")
    if not (folder.is_dir() if requested is None else requested):
        return []
    from bench.report.figures import draw  # seaborn takes seconds to import

    return draw(journal, rows, folder)


def existing_figures(folder: Path, journals: Sequence[Journal]) -> dict[str, list[str]]:
    """Return the SVG figures of each run by name of the run, as paths relative to the folder."""
    figures = {journal.name: sorted(journal.path.parent.glob("figures/*.svg")) for journal in journals}
    return {name: [path.relative_to(folder).as_posix() for path in paths] for name, paths in figures.items()}


def analysis_pages(folder: Path) -> list[str]:
    """Return the pages of the analyses in the folder, as paths relative to it."""
    return [path.relative_to(folder).as_posix() for path in sorted(folder.glob("*/ANALYSIS.md"))]
