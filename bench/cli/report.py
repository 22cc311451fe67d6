"""The work of the verbs that read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import click

from bench import journal as store
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
    """Reports of every run in a folder (or of the run that the folder is), and a page's marked tables.

    Raises ValueError without a run, and for a view or a format that cannot be had.
    """
    from bench.report.leaderboard.extract import fill

    folder = folder.resolve()
    runs = _runs(folder)
    if not runs:
        raise ValueError(f"no {store.NAME} in {folder} or in a folder of it")
    written = write_reports(runs, View(sort, group, baseline), formats, figures)
    if page is not None:
        page.write_text(fill(page.read_text(encoding="utf-8"), folder), encoding="utf-8")
        written.append(page)
    return list(dict.fromkeys(written))


def _runs(folder: Path) -> list[Path]:
    """The run that a folder is, or those in it."""
    return [folder] if (folder / store.NAME).exists() else [path.parent for path in sorted(folder.glob(f"*/{store.NAME}"))]


def recommended(folder: Path, given: dict[str, Any], as_json: bool) -> bool:
    """Print what is recommended; whether something is. Raises ValueError or CorruptJournal."""
    from bench.report.recommend.answer import Query, recommend
    from bench.report.recommend.text import as_data, text

    if given["data"] and given["min_accuracy"] is None:
        raise ValueError("--data names the task of --min-accuracy: give that too")
    (height, width), limit = given["res"], given["max_latency"]
    same = ("channels", "batch", "dtype", "mode", "threads", "max_memory", "min_accuracy", "data")
    wish = Query(
        height, width, **{name: given[name] for name in same},
        device={"auto": None, "cuda": "cuda:0"}.get(given["device"], given["device"]),
        max_latency_ms=None if limit is None else 1e3 * limit,
    )  # fmt: skip
    answer = recommend([store.read(run / store.NAME) for run in _runs(folder.resolve())], wish)
    if as_json:
        click.echo(json.dumps(as_data(answer, folder), indent=2, allow_nan=False))
    else:
        click.echo(text(answer, folder, shutil.get_terminal_size((132, 24)).columns))
    return bool(answer.recommended)
