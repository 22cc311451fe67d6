"""One table of the leaderboard: methods by rank, all failures listed."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

from bench.columns import COLUMNS, METRICS, SCALES, Column, column_of
from bench.report.blocks import PARETO, Bold, Code, Footnotes, Inline, Table, join
from bench.report.leaderboard import networks
from bench.report.leaderboard.view import INTERVALS, LATENCY, View, axis_text
from bench.report.text import missing, plus_minus, points, short, whole
from bench.tables import accuracy
from bench.tables.row import Row

NOT_INTERLEAVED = "measured in another session than the baseline, not interleaved with it"
HEADINGS = {"res": "res, px"}
DEFAULT_VIEW = View()
LATENCY_HEADING, ACCURACY = column_of(LATENCY).heading, column_of("accuracy").heading
FLAGS = {
    "throttled": "throttled: the device clock stayed low in five repetitions of a round",
    "launch_bound": "launch-bound: the host takes longer to enqueue the call than the device to run it",
    "foreign_processes": "other processes used the device",
}
CONTENDED = {  # by whether one thread was measured: short note and reason
    True: ("CPU time", "too few samples without a context switch"),
    False: ("contended", "too few samples without a context switch, and CPU time is not defined for several threads"),
}


def ranking(
    rows: Iterable[Row],
    baseline: str,
    trainings: Collection[networks.TrainingKey] = (),
    view: View = DEFAULT_VIEW,
    varying: Sequence[str] = (),
) -> Table:
    """Return a table with its footnotes.

    `trainings` are the keys of all trainings of the journal; `varying` are the axes on which the rows differ.
    """
    ranked, unknown = view.ranked(rows)
    ranks = view.ranks(ranked)
    records = ranked + unknown
    columns = shown(view)
    best = {column.name: _best(records, column) for column in columns}
    published = any(map(networks.published_entry, records))
    notes = Footnotes()
    lines = []
    for row, rank in zip_longest(records, ranks):
        cells: dict[str, Inline] = {}
        for column in columns:
            cells |= {heading(column): _cell(row, column, best[column.name], notes)}
            cells |= networks.published_columns(row, column, notes) if published else {}
        if not cells[ACCURACY] and (note := networks.accuracy_note(row, trainings)):
            cells[ACCURACY] = notes.mark(note)
        timed = {LATENCY_HEADING: cells.pop(LATENCY_HEADING), f"vs {baseline}": _speedup(row, notes)}
        lines.append(_first_cells(row, _rank_text(rank, ranks), varying, notes) | timed | cells)
    legend = _front(varying) if any(row["pareto"] == 1 for row in records) else ""
    return Table(without_empty(lines), legend=legend, notes=notes.texts)


def shown(view: View) -> tuple[Column, ...]:
    """Return the columns of a table: those with a heading, the headline of every other ranked metric, and the one ranked by."""
    headlines = [metric.headline for metric in METRICS.values() if metric.ranked]
    columns = tuple(column for column in COLUMNS if column.heading or column in headlines)
    return columns if view.column in columns or view.column.name == "speedup" else (*columns, view.column)


def heading(column: Column) -> str:
    """Return the heading of a column: its own, or name and unit."""
    unit = SCALES.get(column.unit, (1.0, column.unit))[1]
    return column.heading or (f"{column.name}, {unit}" if unit else column.name)


def _first_cells(row: Row, rank: str, varying: Sequence[str], notes: Footnotes) -> dict[str, Inline]:
    """Return the cells before the measurements: rank, method, varying axes and kernel size."""
    replaced = networks.replacement_note(row)
    name = join(Code(row["label"]), notes.mark(replaced) if replaced else "")
    axes = {HEADINGS.get(axis, axis): axis_text(row, axis) for axis in varying}
    return {"#": rank, "method": name, **axes, "kernel": _kernel_text(row)}


def _front(varying: Sequence[str]) -> str:
    """Return the note on the Pareto front, which is computed per setting; a table may contain several settings."""
    where = f"of the same {' and '.join(varying)}" if varying else "of this table"
    return f"{PARETO} Pareto front: no other method {where} is as fast and as accurate and better in one, by point estimates."


def without_empty(lines: Sequence[dict[str, Inline]]) -> list[dict[str, Inline]]:
    """Drop the columns that are empty in all lines."""
    filled = [name for name in lines[0] if any(line[name] for line in lines)]
    return [{name: line[name] for name in filled} for line in lines]


def _rank_text(rank: int | None, ranks: Sequence[int]) -> str:
    """Format a rank, followed by = if several rows have it."""
    return "" if rank is None else f"{rank}" + "=" * (ranks.count(rank) > 1)


def _best(records: Sequence[Row], column: Column) -> float:
    """Return the best value among the methods that ran; NaN if there are fewer than two different values."""
    name = column.name
    ran = [row[name] for row in records if row["latency_status"] == "ok" and not missing(row[name]) and _eligible(row, name)]
    choose = {"lower": min, "higher": max}.get(column.better)
    return choose(ran) if choose and column.best and len(set(ran)) > 1 else math.nan


def _eligible(row: Row, column: str) -> bool:
    """Return True if a value can be the best of its column; an accuracy must be significantly above the trivial accuracy."""
    return column != "accuracy" or accuracy.above_trivial(row.values)


def _cell(row: Row, column: Column, best: float, notes: Footnotes) -> Inline:
    """Format a value, a failure as its status with a footnote, or "" if the metric was not requested."""
    name, metric = column.name, column.metric
    status = row[f"{metric}_status"] if metric else "ok"
    if missing(status) or (status == "ok" and missing(row[name])):
        return ""
    if status != "ok":
        return notes.failure(status, row[f"{metric}_detail"] or "no reason given")
    text = join(_value_text(row[name], column), *_half_width(row, name, notes))
    if metric == "accuracy":
        half = row["accuracy_half"]
        text = points(row["accuracy"], row["accuracy"] - half, row["accuracy"] + half)
    bold = Bold(text) if row[name] == best and row["latency_status"] == "ok" and _eligible(row, name) else text
    return join(bold, f" {PARETO}") if metric == "accuracy" and row["pareto"] == 1 else bold


def _value_text(value: Any, column: Column) -> str:
    """Format a value in the unit that is shown; a count as a whole number."""
    if not column.unit and value == int(value):
        return whole(value)
    return short(value / SCALES.get(column.unit, (1.0, ""))[0])


def _speedup(row: Row, notes: Footnotes) -> Inline:
    """Format the speedup over the baseline, with a footnote if the two were not interleaved."""
    if missing(row["speedup"]):
        return ""
    if row["verdict"] == "baseline":
        return "1"
    mark = "" if row.interleaved else notes.mark(NOT_INTERLEAVED)
    return join(f"{short(row['speedup'])}x{plus_minus(row['speedup'], row['speedup_lo'], row['speedup_hi'])}", mark)


def _kernel_text(row: Row) -> str:
    return "" if missing(row["kernel_height"]) else f"{row['kernel_height']:.0f}x{row['kernel_width']:.0f}"


def _half_width(row: Row, column: str, notes: Footnotes) -> Iterator[Inline]:
    """Yield the half-width of the interval of a column; for the latency also the marks of timing problems."""
    if column in INTERVALS:
        yield plus_minus(row[column], *(row[end] for end in INTERVALS[column]))
    if column == LATENCY:
        yield from map(notes.mark, remarks(row))


def remarks(row: Row) -> list[str]:
    """Return the timing problems of a latency as texts."""
    contended = [": ".join(CONTENDED[row["threads"] == 1])] if row["contended"] == 1 else []
    return contended + [text for flag, text in FLAGS.items() if not missing(row[flag]) and row[flag] > 0]
