"""Tables of a run in other formats: JSON and LaTeX."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.columns import COLUMNS, METRICS, Column
from bench.journal import Journal
from bench.report.export import latex
from bench.report.leaderboard.page import sections
from bench.report.leaderboard.ranking import DEFAULT_VIEW
from bench.report.leaderboard.view import View
from bench.report.text import missing
from bench.tables.row import Row

if TYPE_CHECKING:
    import pandas as pd

DESCRIPTION = ("name", "metric", "unit", "better", "meaning")  # of a column in table.json
EXTRA_COLUMNS = (
    Column("latency_session", metric="latency", unit="s", meaning="start of the measuring session, in seconds since 1970"),
    *(Column(f"{metric}_status", metric, "", "", "ok, or the reason why the columns of the metric are null") for metric in METRICS),
    *(Column(f"{metric}_detail", metric, "", "", "detailed reason") for metric in METRICS),
)


def check(formats: Collection[str]) -> None:
    """Raise ValueError if a format needs a package that is not installed."""
    if "parquet" in formats:
        try:
            import pyarrow  # noqa: F401  # installed by the extra `parquet`
        except ModuleNotFoundError as error:
            raise ValueError("--format parquet needs pyarrow: pip install 'large-kernel-bench[parquet]'") from error


def write(
    journal: Journal, table: pd.DataFrame, rows: Sequence[Row], formats: Collection[str], view: View = DEFAULT_VIEW
) -> list[Path]:
    """Write table.json and table.tex next to the journal, if requested or if an older file exists. Return the paths.

    `table` is the tidy table of the journal, `rows` its complete rows in this view.
    """
    writers = {
        "json": ("table.json", lambda: json.dumps(as_data(journal, table), indent=1, allow_nan=False) + "\n"),
        "latex": ("table.tex", lambda: latex.document(sections(journal, rows, view))),
    }
    paths = []
    for form, (name, text) in writers.items():
        path = journal.path.with_name(name)
        if form in formats or path.exists():
            path.write_text(text(), encoding="utf-8")
            paths.append(path)
    return paths


def as_data(journal: Journal, table: pd.DataFrame) -> dict[str, Any]:
    """Return the tidy table as records without NaN, with its data dictionary, runs and environments."""
    return {
        "run": journal.name,
        "baseline": {level: journal.baseline_of(level) for level in ("op", "model")},
        "runs": journal.runs,
        "environments": list(journal.envs.values()),
        "columns": [{name: getattr(column, name) for name in DESCRIPTION} for column in (*COLUMNS, *EXTRA_COLUMNS)],
        "rows": [{name: _json_value(value) for name, value in row.items()} for row in table.to_dict("records")],
    }


def _json_value(value: Any) -> Any:
    """Return a value for JSON: None if it is missing or infinite."""
    return None if missing(value) or (isinstance(value, float) and math.isinf(value)) else value
