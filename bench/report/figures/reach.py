"""Accuracy against the distance of two blobs: the effective reach of trained networks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pandas as pd
from matplotlib.figure import Figure

from bench.journal import Journal
from bench.report import manifest, style
from bench.report.figures import lines
from bench.report.figures.canvas import Drawing, below
from bench.report.leaderboard import protocol
from bench.spec import Cell
from bench.tables import accuracy
from bench.tables.reach import LEARNED, LOCAL_BOUND, Curve, distance_sweeps, distances, effective_reach, means, without_distance

LOWEST = 40  # percent at the start of the axis, slightly below chance
READING = (
    f"Dotted: {LOCAL_BOUND:g}%, the bound if no receptive field contains both blobs. Effective reach: the largest tested distance"
    f" up to which every mean is at least {LEARNED:g}%. Bars: 95% intervals over seeds, clipped at {LOWEST}%."
)


def draw(journal: Journal) -> Iterator[Drawing]:
    """Draw a figure per protocol that was trained at several distances."""
    trained = accuracy.training_records(journal)
    envs = {record.env for record in trained}
    for number, sweep in enumerate(distance_sweeps(trained)):
        record = next(iter(next(iter(sweep.values())).values()))[0]
        data = without_distance(accuracy.training(record).data)
        parts = [file_part(data), f"{accuracy.training(record).res}px", *([str(number + 1)] if number else [])]
        title = protocol.title(record, data) + (f", environment {record.env}" if len(envs) > 1 else "")
        listed = manifest.Figure(f"{'_'.join(['reach', *parts])}.svg", "reach", ", ".join(parts), title)
        yield listed, plot(sweep, title)


def file_part(data: str) -> str:
    """Return the name of a data set for a file name."""
    return re.sub(r"[^\w.+]+", "-", data).rstrip("-")


def plot(sweep: Mapping[Cell, Curve], title: str) -> Figure:
    """Return one figure."""
    reaches = {accuracy.label(cell): effective_reach(means(curve)) for cell, curve in sweep.items()}
    tested = distances(sweep)

    def describe(label: str) -> str:
        reach = reaches[label]
        return f"{label}  " + (f"below {tested[0]}" if not reach else f"{reach}+" if reach == tested[-1] else f"{reach}")

    figure, panels = lines.stacked(points_of(sweep), describe, "effective reach, px")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    for axes in panels:
        axes.axhline(LOCAL_BOUND, color="#404040", linewidth=1, linestyle=":")
        axes.set(ylabel="accuracy, %", ylim=(LOWEST, 102), xticks=tested)
    panels[-1].set_xlabel("distance of the blobs, px")
    below(figure, f"{READING} {failures(sweep)}".strip())
    return figure


def points_of(sweep: Mapping[Cell, Curve]) -> pd.DataFrame:
    """Return columns label, name, x, y, lo and hi: mean accuracies and their intervals, clipped to 0 and 100."""
    means = []
    for cell, curve in sweep.items():
        for distance, records in sorted(curve.items()):
            if accuracy.failure(records) is None:
                mid, lo, hi = accuracy.interval(accuracy.accuracies(records))
                name = style.styled_name(cell.method, cell.network)
                means.append({"label": accuracy.label(cell), "name": name, "x": distance, "y": mid, "lo": lo, "hi": hi})
    points = pd.DataFrame(means, columns=["label", "name", "x", "y", "lo", "hi"])
    return points.assign(lo=points["lo"].clip(0, 100), hi=points["hi"].clip(0, 100))


def failures(sweep: Mapping[Cell, Curve]) -> str:
    """Return a note on the means that are missing because a seed failed."""
    missing = [
        f"{accuracy.label(cell)} at {distance} px ({failed.status})"
        for cell, curve in sweep.items()
        for distance, records in sorted(curve.items())
        if (failed := accuracy.failure(records)) is not None
    ]
    return f"Not shown: {', '.join(missing)}." if missing else ""
