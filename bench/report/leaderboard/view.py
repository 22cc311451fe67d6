"""What tables are ranked by, which axes split them, and what they compare with: the options of the leaderboard."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.columns import AXES, COLUMNS, Column, get
from bench.names import did_you_mean
from bench.report.text import missing, pixels
from bench.stats import ranking
from bench.stats import ratios as comparison
from bench.stats.rounds import Interval
from bench.tables.cells import Row, timing

SPLITTING = tuple(axis for axis in AXES if axis != "kernel")
ALWAYS = ("env", "level", "device", "timer", "seed")  # never compared in one table
SPEED = "latency_ms"
SORTABLE = tuple(column.name for column in COLUMNS if column.better)
ENDS = {  # of intervals
    SPEED: ("latency_lo_ms", "latency_hi_ms"),
    "speedup": ("speedup_lo", "speedup_hi"),
    "energy_j": ("energy_lo_j", "energy_hi_j"),
}
LIMITED = "pct_of_limit"


@dataclass(frozen=True)
class View:
    """How a leaderboard shows its rows; without arguments the one that every run writes. Raises ValueError."""

    sort: str = SPEED
    group: tuple[str, ...] = SPLITTING
    baseline: str | None = None  # in place of what each run named

    def __post_init__(self) -> None:
        if self.sort not in SORTABLE:
            hint = did_you_mean(self.sort, SORTABLE) or f" (of these: {', '.join(SORTABLE)})"
            raise ValueError(f"--sort {self.sort}: no column of that name has a better direction{hint}")
        if unknown := [axis for axis in self.group if axis not in AXES]:
            raise ValueError(f"--group {unknown[0]}: not one of {', '.join(AXES)}")

    @property
    def column(self) -> Column:
        return get(self.sort)

    @property
    def options(self) -> str:
        """The options that make this view; empty for the usual one."""
        given = [f"--sort {self.sort}"] if self.sort != SPEED else []
        given += [f"--group {','.join(self.group)}"] if set(self.group) != set(SPLITTING) else []
        return shlex.join(" ".join(given).split() + (["--baseline", self.baseline] if self.baseline else []))

    @property
    def split(self) -> tuple[str, ...]:
        """Columns whose values part the sections of a run."""
        return (*ALWAYS, *(axis for axis in self.group if axis not in ("res", "kernel")))

    def across(self, section: Sequence[Row]) -> list[str]:
        """The axes that do not split tables and that vary within a section; the kernel size has a column of its own."""
        return [axis for axis in SPLITTING if axis not in self.group and len({value(row, axis) for row in section}) > 1]

    def ranked(self, rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
        """The rows that have a value, the best first, and those that have none; equal ones by latency."""
        known: list[Row] = []
        unknown: list[Row] = []
        for row in sorted(rows, key=lambda row: math.inf if missing(row[SPEED]) else row[SPEED]):
            (unknown if missing(row[self.sort]) else known).append(row)
        sign = -1 if self.column.better == "higher" else 1
        return sorted(known, key=lambda row: sign * row[self.sort]), unknown

    def places(self, ranked: Sequence[Row]) -> list[int]:
        """Places of ranked rows: one that is not told apart from the first of a place shares it."""
        if self.sort == SPEED and set(SPLITTING) == set(self.group):
            return [int(row["place"]) for row in ranked]
        return ranking.ranks(ranked, self._worse)

    def _worse(self, row: Row, leader: Row) -> bool:
        """Whether a row is told apart from one that stands before it."""
        if self.sort == SPEED:
            return comparison.verdict_of(timing(row), timing(leader)) == "slower"
        if self.sort == "accuracy":
            return comparison.difference(leader["accuracies"], row["accuracies"]).lo > 0  # Welch's test over seeds
        if self.sort == LIMITED:  # the latencies in units of the limits, which are exact
            limits = leader["limit_ms"] / row["limit_ms"]
            ratio = Interval(*(limits * end for end in comparison.ratio(timing(row), timing(leader))))
            return comparison.verdict(ratio, comparison.equivalence(row["device"])) == "slower"
        if self.sort not in ENDS:
            return bool(row[self.sort] != leader[self.sort])
        lo, hi = ENDS[self.sort]
        if any(missing(one[end]) for one in (row, leader) for end in (lo, hi)):
            return False  # no interval tells nothing apart
        return bool(row[hi] < leader[lo] if self.column.better == "higher" else row[lo] > leader[hi])


def value(row: Row, axis: str) -> Any:
    """A row's value on an axis; of the resolution height and width."""
    return (row["height"], row["width"]) if axis == "res" else row[axis]


def shown(row: Row, axis: str) -> str:
    """The same as text."""
    return pixels(row) if axis == "res" else f"{row[axis]}"


def tables(section: Iterable[Row], view: View) -> list[tuple[str, list[Row]]]:
    """The rows of each table of a section, in order of resolution and kernel size, with the table's heading."""
    found: dict[tuple[float, ...], list[Row]] = {}
    for row in section:
        res = value(row, "res") if "res" in view.group else ()
        kernel = (row["kernel"] or math.inf,) if "kernel" in view.group else ()
        found.setdefault((*res, *kernel), []).append(row)
    return [(_heading(rows[0], view), rows) for _, rows in sorted(found.items(), key=lambda pair: pair[0])]


def _heading(row: Row, view: View) -> str:
    kernel = f"kernel size {row['kernel']}" if row["kernel"] else "no kernel size set"
    parts = {"res": f"{shown(row, 'res')} px", "kernel": kernel}
    return ", ".join(text for axis, text in parts.items() if axis in view.group)
