"""Accuracy at resolutions where nothing was trained, in markdown: a line a method and way of meeting them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from statistics import fmean

from bench.report.leaderboard import protocol
from bench.report.text import Footnotes, code, environment, escape, points, table
from bench.spec import Cell, Record
from bench.tables import accuracy as learned

Found = dict[str, dict[int, list[float | str]]]  # way -> resolution -> percent or "status: detail" for none, one a seed
READING = """\
Accuracy in percent on the same test images at other resolutions, without training there; in brackets the change against the
resolution of the training, in points. *Way*: how operators that belong to one map size met another.
"""


def sections(trained: Sequence[Record]) -> Iterator[str]:
    """A table for every protocol under which something was evaluated elsewhere."""
    for group in learned.contests(trained):
        if any(list(learned.evaluations(record)) for records in group.values() for record in records):
            yield from section(group, {record.env for record in trained})


def section(group: Mapping[Cell, Sequence[Record]], envs: Collection[str] = ()) -> Iterator[str]:
    first, notes = next(iter(group.values()))[0], Footnotes()
    task = learned.training(first)
    elsewhere = sorted({res for records in group.values() for record in records for res, _, _ in learned.evaluations(record)})
    yield f"### other resolutions: {protocol.title(first, task.data)}{environment(first.env, envs)}\n"
    yield f"Protocol {code(learned.comparison_group(first))}.\n{READING}"
    ran = [records for records in group.values() if learned.failure(records) is None]
    ran.sort(key=lambda records: -fmean(learned.accuracies(records)))
    lines = [line for records in ran for line in _lines(records, task.res, elsewhere, notes)]
    for records in group.values():
        if failed := learned.failure(records):
            shown = notes.failure(failed.status, learned.reason(failed, records))
            lines.append({"method": code(learned.label(failed.job.cell)), f"{task.res} px": shown})
    yield table(lines, left=("method", "way"))
    yield from notes.below()


def _lines(records: Sequence[Record], res: int, elsewhere: Sequence[int], notes: Footnotes) -> Iterator[dict[str, str]]:
    """A method, in every way in which it met another resolution."""
    own = learned.accuracies(records)
    for way, there in collected(records).items():
        cells = {res: points(*learned.interval(own))} | {one: _changed(there.get(one, []), own, notes) for one in elsewhere}
        named = {"method": code(learned.label(records[0].job.cell)), "way": escape(way)}
        yield named | {f"{one} px": cells[one] for one in sorted(cells)}


def collected(records: Sequence[Record]) -> Found:
    """What the evaluations of a method's seeds gave."""
    found: Found = {}
    for record in records:
        for res, way, accuracy in learned.evaluations(record):
            found.setdefault(way, {}).setdefault(res, []).append(accuracy)
    return found


def _changed(there: Sequence[float | str], own: Sequence[float], notes: Footnotes) -> str:
    """Mean and half interval with the change, or the status and a note with the reason for none."""
    reason = next((one for one in there if isinstance(one, str)), None)
    if reason is not None:
        status, _, detail = reason.partition(": ")
        return notes.failure(status, detail)
    values = [float(one) for one in there]
    if not values:
        return ""
    return f"{points(*learned.interval(values))} ({fmean(values) - fmean(own):+.1f})"
