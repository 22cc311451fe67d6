"""Text of a comparison of two runs for a terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from bench.axes import setting_text
from bench.columns import METRICS, SCALES
from bench.journal import Journal
from bench.report.compare.comparison import Comparison
from bench.report.compare.runs import VERDICTS, Row, value_of
from bench.report.text import short
from bench.stats.rounds import Interval

INDENT = "  "
T = TypeVar("T")


def text(comparison: Comparison, width: int = 132) -> str:
    """Return the runs, a table per setting, the cells without a value with their reasons, and the count of each verdict."""
    rows, metric = comparison.rows, METRICS[comparison.metric]
    unit = metric.headline.unit
    points = metric.change == "points"
    change = "B minus A in points" if points else "B over A"
    within = f"{100 * comparison.threshold:g}{' points' if points else '%'}"
    lines = [f"{name}  {_run(journal)}" for name, journal in zip("AB", (comparison.a, comparison.b))]
    lines.append(f"{metric.name}{_unit_text(unit)}, {change}; differences within {within} count as the same")
    lines += _tables([row for row in rows if row.a and row.b and None not in (value_of(row.a), value_of(row.b))], unit, width)
    lines += ["", *(_wrapped(note, width) for note in _notes(rows))]
    return "\n".join([*lines, summary(comparison)])


def summary(comparison: Comparison) -> str:
    """Return the number of cells of each verdict as text."""
    counts, total = comparison.counts, len(comparison.rows)
    return f"{total} cell{'s' if total != 1 else ''}: " + ", ".join(
        f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict]
    )


def _run(journal: Journal) -> str:
    commit = next((run["commit"] for run in reversed(journal.runs) if run.get("commit")), None)
    return f"{journal.path.parent}" + (f" (commit {commit})" if commit else "")


def _unit_text(unit: str) -> str:
    return f" in {SCALES[unit][1] if unit in SCALES else unit}" if unit else ""


def _tables(rows: Sequence[Row], unit: str, width: int) -> Iterator[str]:
    """Yield a heading and aligned lines per setting; on a narrow terminal a cell takes two lines."""
    scale = SCALES.get(unit, (1.0, ""))[0]
    lines = [_line(row, scale) for row in rows]
    columns = [max(map(len, column)) for column in zip(*lines)]
    fits = sum(columns) + len(INDENT) * len(columns) <= width
    for setting, group in _grouped(list(zip(rows, lines)), lambda pair: setting_text(vars(pair[0].cell))):
        yield from ("", _wrapped(setting, width))
        for _, line in group:
            label, *rest = (part.ljust(size) for part, size in zip(line, columns))
            values = INDENT.join(rest).rstrip()
            yield f"{INDENT}{label}{INDENT}{values}" if fits else f"{INDENT}{label.rstrip()}\n{2 * INDENT}{values}"


def _line(row: Row, scale: float) -> tuple[str, ...]:
    values = " -> ".join(short((value_of(record) or 0) / scale) for record in (row.a, row.b))
    return (
        row.cell.label,
        values,
        _change(row.change, row.b is not None and METRICS[row.b.job.metric].change == "points"),
        row.verdict,
    )


def _change(change: Interval, points: bool) -> str:
    """Format the change and its interval; "" if the cells are not comparable."""
    if math.isnan(change.mid):
        return ""
    if points:
        return f"{change.mid:+.1f}"
    if math.isinf(change.mid):
        return "from 0"
    ends = "" if math.isnan(change.lo) or change.lo == change.hi else f" [{short(change.lo)}, {short(change.hi)}]"
    return f"{short(change.mid)}x{ends}"


def _notes(rows: Sequence[Row]) -> Iterator[str]:
    """Yield why cells are not compared: one note per reason, for cells without values per reason and setting."""
    for reason, group in _grouped([row for row in rows if row.verdict == "not comparable"], lambda row: row.reason):
        yield f"not comparable ({len(group)}), A / B: {reason}"
    for verdict in VERDICTS[VERDICTS.index("failed") :]:
        missing = [row for row in rows if row.verdict == verdict]
        for head, group in _grouped(missing, _setting_and_reason):
            yield f"{group[0].verdict}: {', '.join(row.cell.label for row in group)}; {head}"


def _setting_and_reason(row: Row) -> str:
    return setting_text(vars(row.cell)) + (f" ({row.reason})" if row.reason else "")


def _grouped(things: Iterable[T], key: Callable[[T], str]) -> list[tuple[str, list[T]]]:
    """Group things by key, in order of first appearance."""
    groups: dict[str, list[T]] = {}
    for thing in things:
        groups.setdefault(key(thing), []).append(thing)
    return list(groups.items())


def _wrapped(note: str, width: int) -> str:
    return textwrap.fill(note, width, subsequent_indent=INDENT, break_long_words=False, break_on_hyphens=False)
