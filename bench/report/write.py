"""All reports of the runs in one folder, written from their journals: tables, pages, figures. No torch here."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench import journal as store
from bench.journal import Journal
from bench.names import did_you_mean
from bench.report.export.tables import check
from bench.report.export.tables import write as export
from bench.report.leaderboard.ranking import USUAL
from bench.report.leaderboard.view import View
from bench.tables.cells import Row, complete_rows, is_baseline, to_frame, write_tables

if TYPE_CHECKING:
    import pandas as pd

PAGES = ("README.md", "LEADERBOARD.md")  # beside a run's folder, for all runs there


def write_reports(
    runs: Sequence[Path], view: View = USUAL, formats: Collection[str] = (), figures: bool | None = None
) -> list[Path]:
    """Tables of runs in one folder; beside them LEADERBOARD.md of all and README.md on the columns. The paths.

    `figures`: whether to draw those of the runs; None: of a run that has some, so that none is older than its table. Raises
    `CannotWrite`, and ValueError for a format or a view that cannot be had.
    """
    from bench.report.data_dictionary import dictionary
    from bench.report.leaderboard.page import leaderboard
    from bench.report.text import write_generated

    check(formats)
    folder = runs[0].parent
    journals = [store.read(path) for path in sorted(folder.glob(f"*/{store.NAME}"))]
    usual = [complete_rows(journal) for journal in journals]
    viewed = [complete_rows(journal, view.baseline) for journal in journals] if view.baseline else usual
    if view.baseline:
        _check_baseline(view.baseline, viewed)
    tables = [to_frame(rows) for rows in usual]
    paths: list[Path] = []
    try:
        for journal, table, rows, seen in zip(journals, tables, usual, viewed):
            if journal.path.parent in runs:
                paths += [*write_tables(journal, table), *export(journal, table, seen, formats, view)]
                paths += draw(journal, rows, figures)
        page = leaderboard(journals, viewed, view, drawn(folder, journals), analyses(folder))
        paths += [write_generated(folder / name, text) for name, text in zip(PAGES, (dictionary(), page))]
        paths += write_page(journals, tables, folder / "index.html", "html" in formats)
    except OSError as error:
        raise store.CannotWrite(f"cannot write {error.filename or folder}: {error.strerror}") from error
    return paths


def _check_baseline(baseline: str, found: Sequence[Sequence[Row]]) -> None:
    """Raises ValueError where no run has measured the baseline."""
    rows = [row for rows in found for row in rows]
    if not any(is_baseline(row, baseline) for row in rows):
        known = dict.fromkeys(row["label" if row["level"] == "model" else "method"] for row in rows)
        raise ValueError(f"--baseline {baseline}: no run has measured it{did_you_mean(baseline, known)}")


def write_page(journals: Sequence[Journal], tables: Sequence[pd.DataFrame], path: Path, wanted: bool) -> list[Path]:
    """Write the page of all runs where it is wanted or where one stands, so that none is older than the tables; its path.

    Raises ValueError where a wanted page cannot be had; an older one stays as it is then, and a line on stderr says so.
    """
    if not (wanted or path.exists()):
        return []
    from bench.report.page import write  # its libraries are an extra

    try:
        return [write(journals, tables, path)]
    except ValueError as error:
        if wanted:
            raise
        print(f"{path} is older than the tables: {error}", file=sys.stderr)
        return []


def draw(journal: Journal, rows: Sequence[Row], wanted: bool | None) -> list[Path]:
    """Draw a run's figures into its folder `figures`; None: only where that exists. Their paths."""
    folder = journal.path.with_name("figures")
    if not (folder.is_dir() if wanted is None else wanted):
        return []
    from bench.report.figures import draw as draw_all  # seaborn takes seconds to import

    return draw_all(journal, rows, folder)


def drawn(folder: Path, journals: Sequence[Journal]) -> dict[str, list[str]]:
    """The pictures of each run that are there, relative to the folder."""
    found = {journal.name: sorted(journal.path.parent.glob("figures/*.svg")) for journal in journals}
    return {name: [path.relative_to(folder).as_posix() for path in paths] for name, paths in found.items()}


def analyses(folder: Path) -> list[str]:
    """The pages of analysis that lie beside the runs, relative to the folder."""
    return [path.relative_to(folder).as_posix() for path in sorted(folder.glob("*/ANALYSIS.md"))]
