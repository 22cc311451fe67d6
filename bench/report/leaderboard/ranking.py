"""One table of the leaderboard in markdown: methods by their place, every failure in sight."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import zip_longest
from typing import Any

from bench.report.compare.text import SCALES
from bench.report.leaderboard import networks
from bench.report.leaderboard.view import ENDS, SPEED, View
from bench.report.leaderboard.view import shown as setting
from bench.report.text import Footnotes, code, escape, missing, plus_minus, points, short, table, whole
from bench.tables import accuracy as learned
from bench.tables.cells import Row

FRONT = "◆ Pareto front: no other method of this table is as fast and as accurate, and better in one, by the middle values.\n"
ELSEWHEN = "measured in another session than the baseline, not interleaved with it"
HEADINGS = {"res": "res, px"}
USUAL = View()
# heading, metric, column, unit, text, best
COLUMN = tuple[str, str, str, float, Callable[[Any], str], Callable[[Iterable[float]], float] | None]
SHOWN: tuple[COLUMN, ...] = (
    ("latency, ms", "latency", "latency_ms", 1, short, min),
    ("params", "params", "params_count", 1, whole, min),
    ("GFLOP", "flops", "flops", 1e9, short, min),
    ("GMAC", "flops", "gmacs", 1, short, None),  # no best: a transform counts 0 here
    ("memory, MB", "memory", "mem_peak_bytes", 1e6, short, min),
    ("accuracy, %", "accuracy", "accuracy", 1, "{:.1f}".format, max),
)
FLAGS = {
    "throttled": "throttled: the device's clock stayed low in five repetitions of a round",
    "launch_bound": "launch-bound: the host takes longer to enqueue the call than the device to run it",
    "foreign_processes": "other processes used the device",
}
DISTURBED = {
    True: "processor time: other processes disturbed too many samples",
    False: "disturbed: other processes interrupted too many samples, and processor time says nothing of several threads",
}


def ranking(
    rows: Iterable[Row],
    baseline: str,
    trainings: Collection[networks.Trained] = (),
    view: View = USUAL,
    across: Sequence[str] = (),
) -> list[str]:
    """One table and its footnotes; `trainings` are all of the journal, `across` the axes on which its rows differ."""
    ranked, unknown = view.ranked(rows)
    places = view.places(ranked)
    records = ranked + unknown
    columns = shown(view)
    best = {spec[2]: _best(records, spec[2], spec[5]) for spec in columns}
    told = any(map(networks.entry, records))
    notes = Footnotes()
    lines = []
    for row, place in zip_longest(records, places):
        cells: dict[str, str] = {}
        for spec in columns:
            cells |= {spec[0]: _cell(row, spec, best[spec[2]], notes)}
            cells |= networks.beside(row, spec[0], notes) if told else {}
        if not cells["accuracy, %"] and (where := networks.elsewhere(row, trainings)):
            cells["accuracy, %"] = notes.mark(where)
        timed = {"latency, ms": cells.pop("latency, ms"), f"vs {escape(baseline)}": _ratio(row, notes)}
        lines.append(_named(row, _shared(place, places), across, notes) | timed | cells)
    return [table(without_empty(lines)), *([_front(across)] if any(row["pareto"] == 1 for row in records) else []), *notes.below()]


def shown(view: View) -> tuple[COLUMN, ...]:
    """The columns of a table: the usual ones, and what it is ranked by where that is not among them."""
    column = view.column
    if column.name in ("speedup", *(spec[2] for spec in SHOWN)):
        return SHOWN
    scale, unit = SCALES.get(column.unit, (1.0, column.unit))
    heading = f"{column.name}, {unit}" if unit else column.name
    return (*SHOWN, (heading, column.metric, column.name, scale, short, {"lower": min, "higher": max}[column.better]))


def _named(row: Row, place: str, across: Sequence[str], notes: Footnotes) -> dict[str, str]:
    """What stands before the figures: the place, the method, and what tells a row's setting from those of others."""
    changed = networks.exchanged(row)
    name = code(row["label"]) + (notes.mark(changed) if changed else "")
    axes = {HEADINGS.get(axis, axis): setting(row, axis) for axis in across}
    return {"#": place, "method": name, **axes, "kernel": _extent(row)}


def _front(across: Sequence[str]) -> str:
    """What the sign of the Pareto front means: it is that of a setting, whatever else stands in the table."""
    return FRONT.replace("of this table", f"of the same {' and '.join(across)}") if across else FRONT


def without_empty(lines: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The lines without the columns that none of them fills."""
    kept = [name for name in lines[0] if any(line[name] for line in lines)]
    return [{name: line[name] for name in kept} for line in lines]


def _shared(place: int | None, places: Sequence[int]) -> str:
    """A place, with an = where several rows share it."""
    return "" if place is None else f"{place}" + "=" * (places.count(place) > 1)


def _best(records: Sequence[Row], column: str, choose: Callable[[Iterable[float]], float] | None) -> float:
    """The best value among the methods that ran; NaN where it would say nothing: fewer than two different values."""
    ran = [row[column] for row in records if row["latency_status"] == "ok" and not missing(row[column]) and _counts(row, column)]
    return choose(ran) if choose and len(set(ran)) > 1 else math.nan


def _counts(row: Row, column: str) -> bool:
    """Whether a value may be the best of its column: an accuracy only above its floor."""
    return column != "accuracy" or learned.above_trivial(row)


def _cell(row: Row, spec: COLUMN, best: float, notes: Footnotes) -> str:
    """A number, a failure as its status with a footnote, or nothing where the metric was not asked for."""
    _, metric, column, unit, text, _ = spec
    status = row[f"{metric}_status"] if metric else "ok"
    if missing(status) or (status == "ok" and missing(row[column])):
        return ""
    if status != "ok":
        return notes.failure(status, row[f"{metric}_detail"] or "no reason given")
    shown = text(row[column] / unit) + _spread(row, column, notes)
    if metric == "accuracy":
        half = row["accuracy_half"]
        shown = points(row["accuracy"], row["accuracy"] - half, row["accuracy"] + half)
    bold = f"**{shown}**" if row[column] == best and row["latency_status"] == "ok" and _counts(row, column) else shown
    return f"{bold} ◆" if metric == "accuracy" and row["pareto"] == 1 else bold


def _ratio(row: Row, notes: Footnotes) -> str:
    """How many times faster than the baseline in its setting, its interval, and a mark where the two were not interleaved."""
    if missing(row["speedup"]):
        return ""
    if row["verdict"] == "baseline":
        return "1"
    mark = "" if row["beside_baseline"] else notes.mark(ELSEWHEN)
    return f"{short(row['speedup'])}x{plus_minus(row['speedup'], row['speedup_lo'], row['speedup_hi'])}{mark}"


def _extent(row: Row) -> str:
    return "" if missing(row["kernel_height"]) else f"{row['kernel_height']:.0f}x{row['kernel_width']:.0f}"


def _spread(row: Row, column: str, notes: Footnotes) -> str:
    """The half-width of a column's own interval in percent; of the latency also a mark for everything that the clock noticed."""
    half = plus_minus(row[column], *(row[end] for end in ENDS[column])) if column in ENDS else ""
    return half + ("".join(map(notes.mark, remarks(row))) if column == SPEED else "")


def remarks(row: Row) -> list[str]:
    """Everything that the clock noticed while it took a latency, in words."""
    seen = [DISTURBED[row["threads"] == 1]] if row["contended"] == 1 else []
    return seen + [text for flag, text in FLAGS.items() if not missing(row[flag]) and row[flag] > 0]
