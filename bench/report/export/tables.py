"""The tables of a run in other formats: JSON for programs, LaTeX for papers."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.columns import COLUMNS, METRICS, Column
from bench.journal import Journal
from bench.report.export import latex
from bench.report.leaderboard.page import sections
from bench.report.leaderboard.ranking import USUAL
from bench.report.leaderboard.view import View
from bench.report.text import missing
from bench.tables.cells import Row

if TYPE_CHECKING:
    import pandas as pd

UNNAMED = (
    Column("latency_session", "latency", "s", "", "start of the session that measured it, in seconds since 1970"),
    *(Column(f"{metric}_status", metric, "", "", "ok, or why the metric's columns are null") for metric in METRICS),
    *(Column(f"{metric}_detail", metric, "", "", "the reason in words") for metric in METRICS),
)


def check(formats: Collection[str]) -> None:
    """Raises ValueError for a format that nothing here can write."""
    if "parquet" in formats:
        try:
            import pyarrow  # noqa: F401  # the extra `parquet`
        except ModuleNotFoundError as error:
            raise ValueError("--format parquet needs pyarrow: pip install 'large-kernel-bench[parquet]'") from error


def write(journal: Journal, table: pd.DataFrame, rows: Sequence[Row], formats: Collection[str], view: View = USUAL) -> list[Path]:
    """Write table.json and table.tex beside the journal, where asked for and where an older one is; the paths.

    `rows` are the journal's complete ones in this view.
    """
    made = {
        "json": ("table.json", lambda: json.dumps(as_data(journal, table), indent=1, allow_nan=False) + "\n"),
        "latex": ("table.tex", lambda: latex.document("\n".join(sections(journal, rows, view)))),
    }
    paths = []
    for wanted, (name, text) in made.items():
        path = journal.path.with_name(name)
        if wanted in formats or path.exists():
            path.write_text(text(), encoding="utf-8")
            paths.append(path)
    return paths


def as_data(journal: Journal, table: pd.DataFrame) -> dict[str, Any]:
    """The tidy table as records without NaN, with what its columns mean and where and how it was measured."""
    return {
        "run": journal.name,
        "baseline": {level: journal.baseline_of(level) for level in ("op", "model")},
        "runs": journal.runs,
        "environments": list(journal.envs.values()),
        "columns": [asdict(column) for column in (*COLUMNS, *UNNAMED)],
        "rows": [{name: _plain(value) for name, value in row.items()} for row in table.to_dict("records")],
    }


def _plain(value: Any) -> Any:
    """A value as JSON has it: null for what is missing."""
    return None if missing(value) or (isinstance(value, float) and math.isinf(value)) else value
