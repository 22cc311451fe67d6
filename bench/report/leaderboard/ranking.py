"""One table of the leaderboard in markdown: methods by rank, all failures listed."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import zip_longest
from typing import Any

from bench.report.compare.text import SCALES
from bench.report.leaderboard import networks
from bench.report.leaderboard.view import INTERVALS, LATENCY, View, axis_text
from bench.report.text import Footnotes, code, escape, missing, plus_minus, points, short, table, whole
from bench.tables import accuracy
from bench.tables.cells import Row

FRONT_NOTE = "◆ Pareto front: no other method of this table is as fast and as accurate and better in one, by point estimates.\n"
NOT_INTERLEAVED = "measured in another session than the baseline, not interleaved with it"
HEADINGS = {"res": "res, px"}
DEFAULT_VIEW = View()
# heading, metric, column, unit, format, choice of the best value
ColumnSpec = tuple[str, str, str, float, Callable[[Any], str], Callable[[Iterable[float]], float] | None]
SHOWN: tuple[ColumnSpec, ...] = (
    ("latency, ms", "latency", "latency_ms", 1, short, min),
    ("params", "params", "params_count", 1, whole, min),
    ("GFLOP", "flops", "flops", 1e9, short, min),
    ("GMAC", "flops", "gmacs", 1, short, None),  # no best value, because an FFT counts 0
    ("memory, MB", "memory", "mem_peak_bytes", 1e6, short, min),
    ("accuracy, %", "accuracy", "accuracy", 1, "{:.1f}".format, max),
)
FLAGS = {
    "throttled": "throttled: the device clock stayed low in five repetitions of a round",
    "launch_bound": "launch-bound: the host takes longer to enqueue the call than the device to run it",
    "foreign_processes": "other processes used the device",
}
CONTENDED = {
    True: "CPU time: too few samples without a context switch",
    False: "contended: too few samples without a context switch, and CPU time is not defined for several threads",
}


def ranking(
    rows: Iterable[Row],
    baseline: str,
    trainings: Collection[networks.TrainingKey] = (),
    view: View = DEFAULT_VIEW,
    varying: Sequence[str] = (),
) -> list[str]:
    """Return a table and its footnotes.

    `trainings` are the keys of all trainings of the journal; `varying` are the axes on which the rows differ.
    """
    ranked, unknown = view.ranked(rows)
    ranks = view.ranks(ranked)
    records = ranked + unknown
    columns = shown(view)
    best = {spec[2]: _best(records, spec[2], spec[5]) for spec in columns}
    published = any(map(networks.published_entry, records))
    notes = Footnotes()
    lines = []
    for row, rank in zip_longest(records, ranks):
        cells: dict[str, str] = {}
        for spec in columns:
            cells |= {spec[0]: _cell(row, spec, best[spec[2]], notes)}
            cells |= networks.published_columns(row, spec[0], notes) if published else {}
        if not cells["accuracy, %"] and (note := networks.accuracy_note(row, trainings)):
            cells["accuracy, %"] = notes.mark(note)
        timed = {"latency, ms": cells.pop("latency, ms"), f"vs {escape(baseline)}": _speedup(row, notes)}
        lines.append(_first_cells(row, _rank_text(rank, ranks), varying, notes) | timed | cells)
    return [table(without_empty(lines)), *([_front(varying)] if any(row["pareto"] == 1 for row in records) else []), *notes.below()]


def shown(view: View) -> tuple[ColumnSpec, ...]:
    """Return the columns of a table: the default ones and the column it is ranked by."""
    column = view.column
    if column.name in ("speedup", *(spec[2] for spec in SHOWN)):
        return SHOWN
    scale, unit = SCALES.get(column.unit, (1.0, column.unit))
    heading = f"{column.name}, {unit}" if unit else column.name
    return (*SHOWN, (heading, column.metric, column.name, scale, short, {"lower": min, "higher": max}[column.better]))


def _first_cells(row: Row, rank: str, varying: Sequence[str], notes: Footnotes) -> dict[str, str]:
    """Return the cells before the measurements: rank, method, varying axes and kernel size."""
    replaced = networks.replacement_note(row)
    name = code(row["label"]) + (notes.mark(replaced) if replaced else "")
    axes = {HEADINGS.get(axis, axis): axis_text(row, axis) for axis in varying}
    return {"#": rank, "method": name, **axes, "kernel": _kernel_text(row)}


def _front(varying: Sequence[str]) -> str:
    """Return the note on the Pareto front, which is computed per setting; a table may contain several settings."""
    return FRONT_NOTE.replace("of this table", f"of the same {' and '.join(varying)}") if varying else FRONT_NOTE


def without_empty(lines: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Drop the columns that are empty in all lines."""
    filled = [name for name in lines[0] if any(line[name] for line in lines)]
    return [{name: line[name] for name in filled} for line in lines]


def _rank_text(rank: int | None, ranks: Sequence[int]) -> str:
    """Format a rank, followed by = if several rows have it."""
    return "" if rank is None else f"{rank}" + "=" * (ranks.count(rank) > 1)


def _best(records: Sequence[Row], column: str, choose: Callable[[Iterable[float]], float] | None) -> float:
    """Return the best value among the methods that ran; NaN if there are fewer than two different values."""
    ran = [row[column] for row in records if row["latency_status"] == "ok" and not missing(row[column]) and _eligible(row, column)]
    return choose(ran) if choose and len(set(ran)) > 1 else math.nan


def _eligible(row: Row, column: str) -> bool:
    """Return True if a value can be the best of its column; an accuracy must be significantly above the trivial accuracy."""
    return column != "accuracy" or accuracy.above_trivial(row)


def _cell(row: Row, spec: ColumnSpec, best: float, notes: Footnotes) -> str:
    """Format a value, a failure as its status with a footnote, or "" if the metric was not requested."""
    _, metric, column, unit, to_text, _ = spec
    status = row[f"{metric}_status"] if metric else "ok"
    if missing(status) or (status == "ok" and missing(row[column])):
        return ""
    if status != "ok":
        return notes.failure(status, row[f"{metric}_detail"] or "no reason given")
    text = to_text(row[column] / unit) + _half_width(row, column, notes)
    if metric == "accuracy":
        half = row["accuracy_half"]
        text = points(row["accuracy"], row["accuracy"] - half, row["accuracy"] + half)
    bold = f"**{text}**" if row[column] == best and row["latency_status"] == "ok" and _eligible(row, column) else text
    return f"{bold} ◆" if metric == "accuracy" and row["pareto"] == 1 else bold


def _speedup(row: Row, notes: Footnotes) -> str:
    """Format the speedup over the baseline, with a footnote if the two were not interleaved."""
    if missing(row["speedup"]):
        return ""
    if row["verdict"] == "baseline":
        return "1"
    mark = "" if row["interleaved"] else notes.mark(NOT_INTERLEAVED)
    return f"{short(row['speedup'])}x{plus_minus(row['speedup'], row['speedup_lo'], row['speedup_hi'])}{mark}"


def _kernel_text(row: Row) -> str:
    return "" if missing(row["kernel_height"]) else f"{row['kernel_height']:.0f}x{row['kernel_width']:.0f}"


def _half_width(row: Row, column: str, notes: Footnotes) -> str:
    """Format the half-width of the interval of a column; for the latency also footnotes on timing problems."""
    half = plus_minus(row[column], *(row[end] for end in INTERVALS[column])) if column in INTERVALS else ""
    return half + ("".join(map(notes.mark, remarks(row))) if column == LATENCY else "")


def remarks(row: Row) -> list[str]:
    """Return the timing problems of a latency as texts."""
    contended = [CONTENDED[row["threads"] == 1]] if row["contended"] == 1 else []
    return contended + [text for flag, text in FLAGS.items() if not missing(row[flag]) and row[flag] > 0]
