"""Usable reach in markdown: accuracy by distance, a line a method."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from statistics import fmean

from bench.report.leaderboard import protocol
from bench.report.text import Footnotes, code, environment, points, table
from bench.spec import Cell, Record
from bench.tables import accuracy as learned
from bench.tables.reach import APART, LEARNED, Curve, common, distances, families, means, provable_limit, usable

ONE_AT_A_TIME = f"A network that never sees both blobs at once may be right on {APART:g}%, three of the four pairs of signs."
READING = f"""\
Accuracy in percent by distance in pixels, under protocols that differ in nothing else. *Usable reach*: the largest tested distance
up to which every mean is at least {LEARNED:g}%, half way from {APART:g}% to 100%. {ONE_AT_A_TIME}
*Provable limit*: the side of the receptive field, beyond which nothing can be learned, where the name of a method tells it.
Filters that wrap around (NIFF, global and dynamic filters, AFNO) meet what is more than half of the image away across its border.
"""


def sections(trained: Sequence[Record]) -> Iterator[str]:
    """A table for every protocol that was trained at several distances."""
    for family in families(trained):
        yield from section(family, {record.env for record in trained})


def section(family: Mapping[Cell, Curve], envs: Collection[str] = ()) -> Iterator[str]:
    records = [record for curve in family.values() for seeds in curve.values() for record in seeds]
    where = environment(records[0].env, envs)
    yield f"### reach on {protocol.title(records[0], common(learned.training(records[0]).data))}{where}\n"
    yield READING
    tested, notes = distances(family), Footnotes()

    def order(cell: Cell) -> tuple[float, float]:
        found = means(family[cell])
        return -usable(found), -fmean(mean or 0.0 for mean in found.values())

    yield table([_line(cell, family[cell], tested, notes) for cell in sorted(family, key=order)])
    yield from notes.below()


def _line(cell: Cell, curve: Curve, tested: Sequence[int], notes: Footnotes) -> dict[str, str]:
    limit, reach = provable_limit(cell), usable(means(curve))
    shown = f"below {tested[0]}" if not reach else f"{reach} or more" if reach == tested[-1] else f"{reach}"
    return {
        "method": code(learned.label(cell)),
        **{f"{distance} px": _accuracy(curve.get(distance, ()), notes) for distance in tested},
        "usable reach, px": shown,
        "provable limit, px": "" if limit is None else f"{limit}",
    }


def _accuracy(records: Sequence[Record], notes: Footnotes) -> str:
    """The mean over seeds and half of its interval, a failure as its status, or nothing where it was not tested."""
    if not records:
        return ""
    failed = learned.failure(records)
    if failed is not None:
        return notes.failure(failed.status, learned.reason(failed, records))
    return points(*learned.interval(learned.accuracies(records)))
