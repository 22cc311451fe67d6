"""Accuracy tables: one ranked table per protocol, then effective reach and other resolutions if measured."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from statistics import fmean

from bench import names
from bench.journal import Journal
from bench.report.blocks import Block, Code, Footnotes, Heading, Inline, Paragraph, Table, join
from bench.report.leaderboard import protocol, reach, resolutions
from bench.report.text import environment_suffix, points, short, whole
from bench.spec import Cell, Record
from bench.tables import accuracy
from bench.tables.reach import TASK

Group = Mapping[Cell, Sequence[Record]]


def sections(journal: Journal) -> Iterator[Block]:
    """Yield all accuracy tables of one run; accuracies of different protocols are never in one table."""
    trained = accuracy.training_records(journal)
    for group in accuracy.comparison_groups(trained):
        yield from section(group, {record.env for record in trained})
    yield from reach.sections(trained)
    yield from resolutions.sections(trained)


def section(group: Group, envs: Collection[str]) -> Iterator[Block]:
    """Yield heading, protocol and table of one comparison group; `envs` are the environments of all trainings of the run."""
    records = list(chain(*group.values()))
    suffix = environment_suffix(records[0].env, envs)
    yield Heading(3, join("accuracy on ", protocol.title(records[0], accuracy.training(records[0]).data), suffix))
    remark = f" {reach.LOCAL_BOUND_NOTE}" if names.parse(accuracy.training(records[0]).data).name == TASK else ""
    yield Paragraph(join(protocol.line(records), remark))
    ran = [seeds for seeds in group.values() if accuracy.failure(seeds) is None]
    ran.sort(key=lambda records: -fmean(accuracy.accuracies(records)))
    ranks = accuracy.ranks(ran)
    notes = Footnotes()
    lines = [_line(seeds, f"{rank}{'=' * (ranks.count(rank) > 1)}", notes) for rank, seeds in zip(ranks, ran)]
    lines += [_failed(seeds, failed, notes) for seeds in group.values() if (failed := accuracy.failure(seeds))]
    yield Table(lines, notes=notes.texts)


def _line(records: Sequence[Record], rank: str, notes: Footnotes) -> dict[str, Inline]:
    """Return the line of a method all of whose seeds succeeded."""
    values = accuracy.summary(records)
    validation = values.get("accuracy_validation")
    return {
        "#": rank,
        "method": Code(accuracy.label(records[0].job.cell)),
        "accuracy, %": points(*accuracy.interval(accuracy.accuracies(records))),
        "seeds": str(len(records)),
        "vs trivial": _above_trivial(values),
        "validation, %": "" if validation is None else f"{validation:.1f}",
        "learning rate": _rates(records, notes),
        "network params": whole(values.get("accuracy_params")),
        "train, s": short(values.get("accuracy_train_s")),
    }


def _above_trivial(values: accuracy.Values) -> str:
    """Format the difference to the trivial accuracy in points, with "n.s." if it is not significant."""
    trivial = values.get("accuracy_floor")
    if trivial is None:
        return ""
    significant = accuracy.significantly_above(values["accuracy"], values["accuracy_lo"], trivial, values.get("accuracy_images"))
    return f"{values['accuracy'] - trivial:+.1f}" + ("" if significant else " n.s.")


def _rates(records: Sequence[Record], notes: Footnotes) -> Inline:
    """Format the learning rates of the seeds, with a footnote on rates of the search that diverged."""
    rates = dict.fromkeys(f"{lr:g}" for record in records if (lr := record.values.get("accuracy_lr")) is not None)
    tried = [pair for r in records for pair in zip(r.rounds.get("search_lr", ()), r.rounds.get("search_validation", ()))]
    diverged = sorted({lr for lr, validation in tried if validation is None and lr is not None})
    mark = notes.mark(f"training diverged at learning rate {', '.join(f'{lr:g}' for lr in diverged)}") if diverged else ""
    return join(" / ".join(rates), mark)


def _failed(records: Sequence[Record], failed: Record, notes: Footnotes) -> dict[str, Inline]:
    """Return the line of a method with a failed seed: its status, with the reason in a footnote."""
    return {
        "method": Code(accuracy.label(failed.job.cell)),
        "accuracy, %": notes.failure(failed.status, accuracy.reason(failed, records)),
        "seeds": str(len(records)),
    }
