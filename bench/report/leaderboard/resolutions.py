"""Accuracy at other than the training resolution in markdown: one line per method and adaptation."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from statistics import fmean

from bench.report.leaderboard import protocol
from bench.report.text import Footnotes, code, environment_suffix, escape, points, table
from bench.spec import Cell, Record
from bench.tables import accuracy

Evaluations = dict[str, dict[int, list[float | str]]]  # way -> resolution -> percent, or "status: detail" if failed, per seed
READING = """\
Accuracy in percent on the same test images at other resolutions, without further training; in brackets the change from the training
resolution, in points. *Way*: the adaptation of operators of fixed map size to another resolution.
"""


def sections(trained: Sequence[Record]) -> Iterator[str]:
    """Yield a table per comparison group with evaluations at other resolutions."""
    for group in accuracy.comparison_groups(trained):
        if any(list(accuracy.evaluations(record)) for records in group.values() for record in records):
            yield from section(group, {record.env for record in trained})


def section(group: Mapping[Cell, Sequence[Record]], envs: Collection[str] = ()) -> Iterator[str]:
    """Yield heading, legend, table and footnotes of one comparison group."""
    first, notes = next(iter(group.values()))[0], Footnotes()
    task = accuracy.training(first)
    resolutions = sorted({res for records in group.values() for record in records for res, _, _ in accuracy.evaluations(record)})
    yield f"### other resolutions: {protocol.title(first, task.data)}{environment_suffix(first.env, envs)}\n"
    yield f"Protocol {code(accuracy.comparison_group(first))}.\n{READING}"
    ran = [records for records in group.values() if accuracy.failure(records) is None]
    ran.sort(key=lambda records: -fmean(accuracy.accuracies(records)))
    lines = [line for records in ran for line in _lines(records, task.res, resolutions, notes)]
    for records in group.values():
        if failed := accuracy.failure(records):
            status = notes.failure(failed.status, accuracy.reason(failed, records))
            lines.append({"method": code(accuracy.label(failed.job.cell)), f"{task.res} px": status})
    yield table(lines, left=("method", "way"))
    yield from notes.below()


def _lines(records: Sequence[Record], res: int, resolutions: Sequence[int], notes: Footnotes) -> Iterator[dict[str, str]]:
    """Yield one line per adaptation of a method trained at `res`."""
    trained = accuracy.accuracies(records)
    for way, results in by_way(records).items():
        cells = {res: points(*accuracy.interval(trained))}
        cells |= {other: _change(results.get(other, []), trained, notes) for other in resolutions}
        first = {"method": code(accuracy.label(records[0].job.cell)), "way": escape(way)}
        yield first | {f"{side} px": cells[side] for side in sorted(cells)}


def by_way(records: Sequence[Record]) -> Evaluations:
    """Collect the evaluations of the seeds of a method by adaptation and resolution."""
    results: Evaluations = {}
    for record in records:
        for res, way, result in accuracy.evaluations(record):
            results.setdefault(way, {}).setdefault(res, []).append(result)
    return results


def _change(results: Sequence[float | str], trained: Sequence[float], notes: Footnotes) -> str:
    """Format mean, half-width and change from the training resolution; or the status, with the reason in a footnote."""
    failure = next((result for result in results if isinstance(result, str)), None)
    if failure is not None:
        status, _, detail = failure.partition(": ")
        return notes.failure(status, detail)
    values = [float(result) for result in results]
    if not values:
        return ""
    return f"{points(*accuracy.interval(values))} ({fmean(values) - fmean(trained):+.1f})"
