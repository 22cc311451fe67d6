"""The commands `report` and `recommend`: their work."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import click

from bench import journal
from bench.report.leaderboard.view import View
from bench.report.write import write_reports


def rebuild(
    folder: Path,
    page: Path | None,
    sort: str,
    group: tuple[str, ...],
    baseline: str | None,
    formats: Collection[str],
    figures: bool,
) -> list[Path]:
    """Write the reports of every run in a folder, or of the run in it, and the marked tables of `page`. Return the paths.

    Raises ValueError if there is no run, and for an invalid view or an unavailable format.
    """
    from bench.report.leaderboard.extract import fill

    folder = folder.resolve()
    runs = _runs(folder)
    if not runs:
        raise ValueError(f"no {journal.JOURNAL} in {folder} or in its subfolders")
    written = write_reports(runs, View(sort, group, baseline), formats, figures)
    if page is not None:
        page.write_text(fill(page.read_text(encoding="utf-8"), folder), encoding="utf-8")
        written.append(page)
    return list(dict.fromkeys(written))


def _runs(folder: Path) -> list[Path]:
    """Return the folder itself if it is a run, else the runs in it."""
    return (
        [folder] if (folder / journal.JOURNAL).exists() else [path.parent for path in sorted(folder.glob(f"*/{journal.JOURNAL}"))]
    )


def recommended(folder: Path, options: dict[str, Any], as_json: bool) -> bool:
    """Print the recommendation and return whether there is one. Raises ValueError and CorruptJournal."""
    from bench.report.recommend.answer import Query, recommend
    from bench.report.recommend.text import as_data, text

    if options["data"] and options["min_accuracy"] is None:
        raise ValueError("--data selects the data set of --min-accuracy: give that too")
    (height, width), limit = options["res"], options["max_latency"]
    same = ("channels", "batch", "dtype", "mode", "threads", "max_memory", "min_accuracy", "data")
    query = Query(
        height, width, **{name: options[name] for name in same},
        device={"auto": None, "cuda": "cuda:0"}.get(options["device"], options["device"]),
        max_latency_ms=None if limit is None else 1e3 * limit,
    )  # fmt: skip
    answer = recommend([journal.read_journal(run / journal.JOURNAL) for run in _runs(folder.resolve())], query)
    if as_json:
        click.echo(json.dumps(as_data(answer, folder), indent=2, allow_nan=False))
    else:
        click.echo(text(answer, folder, shutil.get_terminal_size((132, 24)).columns))
    return bool(answer.recommended)
