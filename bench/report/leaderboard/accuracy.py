"""What was learned, in markdown: a table a protocol, ranked by accuracy; then reach and other resolutions where there are any."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from statistics import fmean

from bench import names
from bench.journal import Journal
from bench.report.leaderboard import protocol, reach, resolutions
from bench.report.text import Footnotes, code, environment, points, short, table, whole
from bench.spec import Cell, Record
from bench.tables import accuracy as learned
from bench.tables.reach import TASK

Group = Mapping[Cell, Sequence[Record]]


def sections(journal: Journal) -> Iterator[str]:
    """Every table of accuracies of one run; those of different protocols never in one."""
    trained = learned.trained(journal)
    for group in learned.contests(trained):
        yield from accuracy(group, {record.env for record in trained})
    yield from reach.sections(trained)
    yield from resolutions.sections(trained)


def accuracy(group: Group, envs: Collection[str]) -> Iterator[str]:
    """Heading, protocol in full and table of one contest; `envs` are those in which something was trained."""
    records = list(chain(*group.values()))
    where = environment(records[0].env, envs)
    yield f"### accuracy on {protocol.title(records[0], learned.training(records[0]).data)}{where}\n"
    known = [reach.ONE_AT_A_TIME] if names.parse(learned.training(records[0]).data).name == TASK else []
    yield " ".join([protocol.line(records), *known]) + "\n"
    ran = [seeds for seeds in group.values() if learned.failure(seeds) is None]
    ran.sort(key=lambda records: -fmean(learned.accuracies(records)))
    places = learned.places(ran)
    notes = Footnotes()
    lines = [_line(seeds, f"{place}{'=' * (places.count(place) > 1)}", notes) for place, seeds in zip(places, ran)]
    lines += [_failed(seeds, failed, notes) for seeds in group.values() if (failed := learned.failure(seeds))]
    yield table(lines)
    yield from notes.below()


def _line(records: Sequence[Record], place: str, notes: Footnotes) -> dict[str, str]:
    """A method whose seeds all trained."""
    got = learned.summary(records)
    floor = got.get("accuracy_floor")
    validation = got.get("accuracy_validation")
    return {
        "#": place,
        "method": code(learned.label(records[0].job.cell)),
        "accuracy, %": points(*learned.interval(learned.accuracies(records))),
        "seeds": str(len(records)),
        "vs floor": "" if floor is None else _above(got["accuracy"], got["accuracy_lo"], floor, got.get("accuracy_images")),
        "validation, %": "" if validation is None else f"{validation:.1f}",
        "learning rate": _rates(records, notes),
        "network params": whole(got.get("accuracy_params")),
        "train, s": short(got.get("accuracy_train_s")),
    }


def _above(mid: float, lo: float, floor: float, images: float | None) -> str:
    """Points above the floor, and a word where they are not told from 0."""
    return f"{mid - floor:+.1f}" + ("" if learned.clears(mid, lo, floor, images) else " n.s.")


def _rates(records: Sequence[Record], notes: Footnotes) -> str:
    """The learning rates of the seeds, with a note on those that diverged when they were tried."""
    found = dict.fromkeys(f"{lr:g}" for record in records if (lr := record.values.get("accuracy_lr")) is not None)
    tried = [pair for r in records for pair in zip(r.rounds.get("search_lr", ()), r.rounds.get("search_validation", ()))]
    diverged = sorted({lr for lr, reached in tried if reached is None and lr is not None})
    mark = notes.mark(f"diverged when tried at {', '.join(f'{lr:g}' for lr in diverged)}") if diverged else ""
    return " / ".join(found) + mark


def _failed(records: Sequence[Record], failed: Record, notes: Footnotes) -> dict[str, str]:
    """A method of which a seed failed: its status, and the reason as a note."""
    return {
        "method": code(learned.label(failed.job.cell)),
        "accuracy, %": notes.failure(failed.status, learned.reason(failed, records)),
        "seeds": str(len(records)),
    }
