"""Options of the leaderboard: the column to rank by, the axes that split tables, and the baseline."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.axes import BY_NAME
from bench.axes import SPLITTING as AXES
from bench.columns import COLUMNS, Column, column_of
from bench.report.text import missing, pixels
from bench.stats import ranking, ratios
from bench.stats.rounds import Interval
from bench.tables.row import Row
from methods.registry import did_you_mean

SPLITTING = tuple(axis for axis in AXES if axis != "kernel")
# Rows that differ in these columns are never in one table.
ALWAYS = ("env", "level", "timer", *(axis.name for axis in BY_NAME.values() if not axis.splits))
LATENCY = "latency_ms"
SORTABLE = tuple(column.name for column in COLUMNS if column.better)
INTERVALS = {column.name: column.interval for column in COLUMNS if column.interval}  # columns of the ends of the interval
PCT_OF_LIMIT = "pct_of_limit"


@dataclass(frozen=True)
class View:
    """Options of a leaderboard; the defaults are those of every run. Raises ValueError for unknown columns and axes."""

    sort: str = LATENCY
    group: tuple[str, ...] = SPLITTING
    baseline: str | None = None  # overrides the baseline of each run

    def __post_init__(self) -> None:
        if self.sort not in SORTABLE:
            hint = did_you_mean(self.sort, SORTABLE) or f" (one of {', '.join(SORTABLE)})"
            raise ValueError(f"--sort {self.sort}: not a column with a better direction{hint}")
        if unknown := [axis for axis in self.group if axis not in AXES]:
            raise ValueError(f"--group {unknown[0]}: not one of {', '.join(AXES)}")

    @property
    def column(self) -> Column:
        """The column to rank by."""
        return column_of(self.sort)

    @property
    def options(self) -> str:
        """The command-line options of this view; empty for the default view."""
        options = ["--sort", self.sort] if self.sort != LATENCY else []
        options += ["--group", ",".join(self.group)] if set(self.group) != set(SPLITTING) else []
        options += ["--baseline", self.baseline] if self.baseline else []
        return shlex.join(options)

    @property
    def split(self) -> tuple[str, ...]:
        """The columns that split a run into sections."""
        return (*ALWAYS, *(axis for axis in self.group if axis not in ("res", "kernel")))

    def varying(self, section: Sequence[Row]) -> list[str]:
        """Return the axes that vary within the tables of a section, except the kernel size, which always has a column."""
        return [axis for axis in SPLITTING if axis not in self.group and len({axis_value(row, axis) for row in section}) > 1]

    def ranked(self, rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
        """Return the rows with a value, the best first and ties by latency, and the rows without a value."""
        known: list[Row] = []
        unknown: list[Row] = []
        for row in sorted(rows, key=lambda row: math.inf if missing(row[LATENCY]) else row[LATENCY]):
            (unknown if missing(row[self.sort]) else known).append(row)
        sign = -1 if self.column.better == "higher" else 1
        return sorted(known, key=lambda row: sign * row[self.sort]), unknown

    def ranks(self, ranked: Sequence[Row]) -> list[int]:
        """Return the ranks of sorted rows; a row that is not significantly worse than the first row of a rank shares it."""
        if self.sort == LATENCY and set(SPLITTING) == set(self.group):
            return [int(row["place"]) for row in ranked]
        return ranking.ranks(ranked, self._worse)

    def _worse(self, row: Row, leader: Row) -> bool:
        """Return True if a row is significantly worse than a row ranked before it."""
        if self.sort == LATENCY:
            return ratios.slower(row.latency(), leader.latency())
        if self.sort == "accuracy":
            return ratios.difference(leader.accuracies, row.accuracies).lo > 0  # Welch's test over seeds
        if self.sort == PCT_OF_LIMIT:  # the limits are exact, so the ratio of latencies determines the interval
            limits = leader["limit_ms"] / row["limit_ms"]
            ratio = Interval(*(limits * end for end in ratios.ratio(row.latency(), leader.latency())))
            return ratios.is_slower(ratio, row["device"])
        if self.sort not in INTERVALS:
            return bool(row[self.sort] != leader[self.sort])
        lo, hi = INTERVALS[self.sort]
        if any(missing(either[end]) for either in (row, leader) for end in (lo, hi)):
            return False  # without intervals no difference is significant
        return bool(row[hi] < leader[lo] if self.column.better == "higher" else row[lo] > leader[hi])


def axis_value(row: Row, axis: str) -> Any:
    """Return the value of a row on an axis; (height, width) for the resolution."""
    return BY_NAME[axis].value(row.values)


def axis_text(row: Row, axis: str) -> str:
    """Return the value of a row on an axis as text."""
    return pixels(row.values) if axis == "res" else f"{row[axis]}"


def tables(section: Iterable[Row], view: View) -> list[tuple[str, list[Row]]]:
    """Return heading and rows of each table of a section, sorted by resolution and kernel size."""
    groups: dict[tuple[float, ...], list[Row]] = {}
    for row in section:
        res = axis_value(row, "res") if "res" in view.group else ()
        kernel = (row["kernel"] or math.inf,) if "kernel" in view.group else ()
        groups.setdefault((*res, *kernel), []).append(row)
    return [(_heading(rows[0], view), rows) for _, rows in sorted(groups.items(), key=lambda pair: pair[0])]


def _heading(row: Row, view: View) -> str:
    kernel = f"kernel size {row['kernel']}" if row["kernel"] else "no kernel size set"
    parts = {"res": f"{axis_text(row, 'res')} px", "kernel": kernel}
    return ", ".join(text for axis, text in parts.items() if axis in view.group)
