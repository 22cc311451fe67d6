"""The comparison of two runs: its rows, their verdicts, and the exit status for CI."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from bench.columns import METRICS
from bench.journal import Journal
from bench.report.compare import runs
from bench.report.compare.runs import COMPARED, Row, value_of
from methods.registry import did_you_mean

REGRESSED, FAILED, NOTHING_COMPARED = 1, 3, 2  # exit statuses


@dataclass(frozen=True)
class Comparison:
    """Two runs compared by one metric. Differences within `threshold` count as none (a fraction; of 100 points for accuracy)."""

    a: Journal
    b: Journal
    metric: str
    threshold: float
    rows: tuple[Row, ...]

    @property
    def counts(self) -> Counter[str]:
        """The number of rows of each verdict."""
        return Counter(row.verdict for row in self.rows)

    def exit_status(self, gate: bool) -> int:
        """Return 3 if a cell failed; with `gate` 2 if no cell was compared, 1 if one is slower or worse; else 0."""
        counts = self.counts
        if counts["failed"]:
            return FAILED
        if gate and not any(counts[verdict] for verdict in COMPARED):
            return NOTHING_COMPARED
        return REGRESSED if gate and counts["slower"] + counts["worse"] else 0

    def as_data(self) -> dict[str, Any]:
        """Return the comparison as JSON data, with null for missing numbers."""
        facts = {"metric": self.metric, "threshold": self.threshold, "a": str(self.a.path), "b": str(self.b.path)}
        return facts | {"verdicts": dict(self.counts), "cells": [_data(row) for row in self.rows]}


def compare(a: Journal, b: Journal, metric: str, threshold: float) -> Comparison:
    """Compare two runs cell by cell.

    Raises ValueError for a threshold of 100% or more, and if a metric is unknown or a run has no record of it.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric '{metric}'{did_you_mean(metric, METRICS)} (known: {', '.join(METRICS)})")
    if threshold >= 1:
        raise ValueError(f"--threshold {threshold:.0%} is not below 100%: 5% is written 5% or 0.05")
    records_of = [runs.index(journal, metric) for journal in (a, b)]
    for name, journal, records in zip("AB", (a, b), records_of):
        if not records:
            raise ValueError(f"run {name} ({journal.path}) has no record of {metric}")
    rows = tuple(runs.row_of(record_a, record_b, (a, b), threshold) for record_a, record_b in runs.pairs(*records_of))
    return Comparison(a, b, metric, threshold, rows)


def _data(row: Row) -> dict[str, Any]:
    return {
        "label": row.cell.label,
        "cell": vars(row.cell),
        "a": value_of(row.a),
        "b": value_of(row.b),
        "status_a": row.a.status if row.a else None,
        "status_b": row.b.status if row.b else None,
        "change": {name: value if math.isfinite(value) else None for name, value in row.change._asdict().items()},
        "verdict": row.verdict,
        "reason": row.reason,
    }
