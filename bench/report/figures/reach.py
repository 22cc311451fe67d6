"""Accuracy against the distance of two blobs: how far apart two things may be for a trained network to relate them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from bench.journal import Journal
from bench.report.figures import lines
from bench.report.figures.canvas import below, save
from bench.report.leaderboard import protocol
from bench.spec import Cell
from bench.tables import accuracy as learned
from bench.tables.reach import APART, LEARNED, Curve, common, distances, families, means, usable

LOWEST = 40  # percent where the axis begins: a little below guessing
READING = (
    f"Dotted: {APART:g}%, in reach of a network that never sees both blobs at once. Usable reach: the largest tested distance up to"
    f" which every mean is at least {LEARNED:g}%. Bars: 95% intervals over seeds, cut at {LOWEST}%."
)


def draw(journal: Journal, folder: Path) -> Iterator[Path]:
    """A figure for every protocol that was trained at several distances."""
    trained = learned.trained(journal)
    envs = {record.env for record in trained}
    for number, family in enumerate(families(trained)):
        record = next(iter(next(iter(family.values())).values()))[0]
        data = common(learned.training(record).data)
        name = f"reach_{data}_{learned.training(record).res}px" + (f"_{number + 1}" if number else "")
        title = protocol.title(record, data) + (f", environment {record.env}" if len(envs) > 1 else "")
        yield from picture(family, title, folder, re.sub(r"[^\w.+]+", "-", name).replace("-_", "_"))


def picture(family: Mapping[Cell, Curve], title: str, folder: Path, name: str) -> list[Path]:
    """One figure, written; its paths."""
    reached = {learned.label(cell): usable(means(curve)) for cell, curve in family.items()}
    tested = distances(family)

    def describe(label: str) -> str:
        known = reached[label]
        return f"{label}  " + (f"below {tested[0]}" if not known else f"{known}+" if known == tested[-1] else f"{known}")

    figure, panels = lines.stacked(points_of(family), describe, "usable reach, px")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    for axes in panels:
        axes.axhline(APART, color="#404040", linewidth=1, linestyle=":")
        axes.set(ylabel="accuracy, %", ylim=(LOWEST, 102), xticks=tested)
    panels[-1].set_xlabel("distance of the blobs, px")
    below(figure, f"{READING} {failures(family)}".strip())
    return save(figure, folder, name)


def points_of(family: Mapping[Cell, Curve]) -> pd.DataFrame:
    """Columns label, x, y, lo and hi: mean accuracies and their intervals, cut to 0 and 100."""
    found = []
    for cell, curve in family.items():
        for distance, records in sorted(curve.items()):
            if learned.failure(records) is None:
                mid, lo, hi = learned.interval(learned.accuracies(records))
                found.append({"label": learned.label(cell), "x": distance, "y": mid, "lo": lo, "hi": hi})
    points = pd.DataFrame(found, columns=["label", "x", "y", "lo", "hi"])
    return points.assign(lo=points["lo"].clip(0, 100), hi=points["hi"].clip(0, 100))


def failures(family: Mapping[Cell, Curve]) -> str:
    """A note of the means that a failed seed took away."""
    told = [
        f"{learned.label(cell)} at {distance} px ({failed.status})"
        for cell, curve in family.items()
        for distance, records in sorted(curve.items())
        if (failed := learned.failure(records)) is not None
    ]
    return f"Not shown: {', '.join(told)}." if told else ""
