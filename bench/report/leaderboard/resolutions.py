"""Accuracy at other than the training resolution: one line per method and adaptation."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from statistics import fmean

from bench.report.blocks import Block, Code, Footnotes, Heading, Inline, Paragraph, Table, join
from bench.report.leaderboard import protocol
from bench.report.text import environment_suffix, points
from bench.spec import Cell, Evaluation, Record
from bench.tables import accuracy

Evaluations = dict[str, dict[int, list[Evaluation]]]  # way -> resolution -> one per seed
READING = """\
Accuracy in percent on the same test images at other resolutions, without further training; in brackets the change from the training
resolution, in points. *Way*: the adaptation of operators of fixed map size to another resolution.
"""


def sections(trained: Sequence[Record]) -> Iterator[Block]:
    """Yield a table per comparison group with evaluations at other resolutions."""
    for group in accuracy.comparison_groups(trained):
        if any(accuracy.evaluations(record) for records in group.values() for record in records):
            yield from section(group, {record.env for record in trained})


def section(group: Mapping[Cell, Sequence[Record]], envs: Collection[str] = ()) -> Iterator[Block]:
    """Yield heading, legend and table of one comparison group."""
    first, notes = next(iter(group.values()))[0], Footnotes()
    task = accuracy.training(first)
    resolutions = sorted({one.res for records in group.values() for record in records for one in accuracy.evaluations(record)})
    yield Heading(3, join("other resolutions: ", protocol.title(first, task.data), environment_suffix(first.env, envs)))
    yield Paragraph(("Protocol ", Code(accuracy.comparison_group(first)), "."), READING)
    ran = [records for records in group.values() if accuracy.failure(records) is None]
    ran.sort(key=lambda records: -fmean(accuracy.accuracies(records)))
    lines = [line for records in ran for line in _lines(records, task.res, resolutions, notes)]
    for records in group.values():
        if failed := accuracy.failure(records):
            status = notes.failure(failed.status, accuracy.reason(failed, records))
            lines.append({"method": Code(accuracy.label(failed.job.cell)), f"{task.res} px": status})
    yield Table(lines, left=("method", "way"), notes=notes.texts)


def _lines(records: Sequence[Record], res: int, resolutions: Sequence[int], notes: Footnotes) -> Iterator[dict[str, Inline]]:
    """Yield one line per adaptation of a method trained at `res`."""
    trained = accuracy.accuracies(records)
    for way, results in by_way(records).items():
        cells: dict[int, Inline] = {res: points(*accuracy.interval(trained))}
        cells |= {other: _change(results.get(other, []), trained, notes) for other in resolutions}
        first: dict[str, Inline] = {"method": Code(accuracy.label(records[0].job.cell)), "way": way}
        yield first | {f"{side} px": cells[side] for side in sorted(cells)}


def by_way(records: Sequence[Record]) -> Evaluations:
    """Collect the evaluations of the seeds of a method by adaptation and resolution."""
    results: Evaluations = {}
    for record in records:
        for evaluation in accuracy.evaluations(record):
            results.setdefault(evaluation.way, {}).setdefault(evaluation.res, []).append(evaluation)
    return results


def _change(results: Sequence[Evaluation], trained: Sequence[float], notes: Footnotes) -> Inline:
    """Format mean, half-width and change from the training resolution; or the status, with the reason in a footnote."""
    failed = next((result for result in results if result.status != "ok"), None)
    if failed is not None:
        return notes.failure(failed.status, failed.detail)
    values = [result.accuracy for result in results if result.accuracy is not None]
    if not values:
        return ""
    return f"{points(*accuracy.interval(values))} ({fmean(values) - fmean(trained):+.1f})"
