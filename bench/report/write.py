"""Write all reports of the runs in a folder from their journals: tables, pages, figures. Does not import torch."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench.journal import JOURNAL, CannotWrite, Journal, read_journal
from bench.report import manifest
from bench.report.export import tables as exports
from bench.report.leaderboard.ranking import DEFAULT_VIEW
from bench.report.leaderboard.view import View
from bench.report.manifest import Figure
from bench.tables.cells import check_baseline, complete_rows, to_frame, write_tables
from bench.tables.row import Row

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
        check_baseline(view.baseline, view_rows)
    tables = [to_frame(rows) for rows in default_rows]
    paths: list[Path] = []
    try:
        for journal, table, rows, viewed in zip(journals, tables, default_rows, view_rows):
            if journal.path.parent in runs:
                paths += [*write_tables(journal, table), *exports.write(journal, table, viewed, formats, view)]
                paths += write_figures(journal, rows, figures)
        page = leaderboard(journals, view_rows, view, existing_figures(folder, journals), analysis_pages(folder))
        paths += [write_generated(folder / name, text) for name, text in zip(PAGES, (dictionary(), page))]
        paths += write_page(journals, default_rows, folder / "index.html", "html" in formats)
    except OSError as error:
        raise CannotWrite(f"cannot write {error.filename or folder}: {error.strerror}") from error
    return paths


def write_page(journals: Sequence[Journal], rows: Sequence[Sequence[Row]], path: Path, requested: bool) -> list[Path]:
    """Write the HTML page of all runs if it is requested or exists already. Return its path.

    Raises ValueError if a requested page cannot be made. An existing page that cannot be updated is reported on stderr.
    """
    if not (requested or path.exists()):
        return []
    from bench.report.page import write  # its libraries are an extra

    try:
        return [write(journals, rows, path)]
    except ValueError as error:
        if requested:
            raise
        print(f"{path} is older than the tables: {error}", file=sys.stderr)
        return []


def write_figures(journal: Journal, rows: Sequence[Row], requested: bool | None) -> list[Path]:
    """Draw the figures of a run into its folder `figures` and return their paths; None: only if that folder exists."""
    folder = figures_of(journal)
    if not (folder.is_dir() if requested is None else requested):
        return []
    from bench.report.figures import draw  # seaborn takes seconds to import

    return draw(journal, rows, folder)


def existing_figures(folder: Path, journals: Sequence[Journal]) -> dict[str, list[Figure]]:
    """Return the listed figures of each run by name of the run, with files relative to the folder."""
    return {journal.name: list(_linked(figures_of(journal), folder)) for journal in journals}


def _linked(figures: Path, folder: Path) -> Iterator[Figure]:
    for figure in manifest.read(figures):
        path = figures / figure.file
        if path.exists():
            yield replace(figure, file=path.relative_to(folder).as_posix())


def figures_of(journal: Journal) -> Path:
    """Return the folder of the figures of a run."""
    return journal.path.with_name("figures")


def analysis_pages(folder: Path) -> list[Path]:
    """Return the pages of the analyses in the folder, as paths relative to it."""
    return [path.relative_to(folder) for path in sorted(folder.glob("*/ANALYSIS.md"))]
