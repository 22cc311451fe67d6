"""Effective reach: accuracy by distance, one line per method."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from statistics import fmean

from bench.report.blocks import Block, Code, Footnotes, Heading, Inline, Paragraph, Table, join
from bench.report.leaderboard import protocol
from bench.report.text import environment_suffix, points
from bench.spec import Cell, Record
from bench.tables import accuracy
from bench.tables.reach import (
    LEARNED,
    LOCAL_BOUND,
    Curve,
    distance_sweeps,
    distances,
    effective_reach,
    means,
    receptive_field,
    without_distance,
)

LOCAL_BOUND_NOTE = (
    f"If no receptive field contains both blobs, the accuracy is at most {LOCAL_BOUND:g}% (three of the four pairs of signs)."
)
READING = f"""\
Accuracy in percent by distance in pixels, under protocols that differ only in the distance. *Effective reach*: the largest tested
distance up to which every mean is at least {LEARNED:g}%, halfway from {LOCAL_BOUND:g}% to 100%. {LOCAL_BOUND_NOTE}
*Receptive field*: its side, an upper bound on the effective reach, for methods of fixed kernel size. Circular filters (NIFF, global
and dynamic filters, AFNO) reach distances above half of the image across its border.
"""


def sections(trained: Sequence[Record]) -> Iterator[Block]:
    """Yield a table per protocol that was trained at several distances."""
    for sweep in distance_sweeps(trained):
        yield from section(sweep, {record.env for record in trained})


def section(sweep: Mapping[Cell, Curve], envs: Collection[str] = ()) -> Iterator[Block]:
    """Yield heading, legend and table of one sweep over distances."""
    records = [record for curve in sweep.values() for seeds in curve.values() for record in seeds]
    suffix = environment_suffix(records[0].env, envs)
    title = protocol.title(records[0], without_distance(accuracy.training(records[0]).data))
    yield Heading(3, join("effective reach on ", title, suffix))
    yield Paragraph(prose=READING)
    tested, notes = distances(sweep), Footnotes()

    def order(cell: Cell) -> tuple[float, float]:
        by_distance = means(sweep[cell])
        return -effective_reach(by_distance), -fmean(mean or 0.0 for mean in by_distance.values())

    yield Table([_line(cell, sweep[cell], tested, notes) for cell in sorted(sweep, key=order)], notes=notes.texts)


def _line(cell: Cell, curve: Curve, tested: Sequence[int], notes: Footnotes) -> dict[str, Inline]:
    field, reach = receptive_field(cell), effective_reach(means(curve))
    reach_text = f"below {tested[0]}" if not reach else f"{reach} or more" if reach == tested[-1] else f"{reach}"
    return {
        "method": Code(accuracy.label(cell)),
        **{f"{distance} px": _accuracy(curve.get(distance, ()), notes) for distance in tested},
        "effective reach, px": reach_text,
        "receptive field, px": "" if field is None else f"{field}",
    }


def _accuracy(records: Sequence[Record], notes: Footnotes) -> Inline:
    """Format the mean over seeds and the half-width of its interval, the status of a failure, or "" if not tested."""
    if not records:
        return ""
    failed = accuracy.failure(records)
    if failed is not None:
        return notes.failure(failed.status, accuracy.reason(failed, records))
    return points(*accuracy.interval(accuracy.accuracies(records)))
