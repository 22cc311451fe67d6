"""Notes on networks in the tables: published values, replaced convolutions, location of an accuracy."""

from __future__ import annotations

from collections.abc import Collection

from bench.axes import IMAGENET_CLASSES
from bench.columns import Column
from bench.nets import published
from bench.report.blocks import Footnotes, Inline, join
from bench.report.text import missing
from bench.spec import ORIGINAL, Record
from bench.tables.row import Row

TOLERANCE = 0.005  # relative difference in multiply-adds above which a footnote explains it
TrainingKey = tuple[str, str, str, int]  # label, environment, device, threads


def published_entry(row: Row) -> published.Published | None:
    """Return the published values of a row, or None unless it is a published network at the image size of publication."""
    if row["level"] != "model" or row["method"] != ORIGINAL:
        return None
    entry = published.find(row["network"])
    return entry if entry and (row["height"], row["width"], row["channels"]) == (entry.res, entry.res, 3) else None


def published_columns(row: Row, column: Column, notes: Footnotes) -> dict[str, Inline]:
    """Return the column of published values next to a column, if any, with footnotes on differences."""
    entry = published_entry(row)
    if column.name == "params_count":
        return {"published params": join(entry.params, *map(notes.mark, _remarks(entry))) if entry else ""}
    if column.name == "gmacs":
        mark = notes.mark(entry.reason) if entry and _differs(entry, row["gmacs"]) else ""
        return {"published GMAC": join(entry.gmacs, mark) if entry else ""}
    return {}


def _remarks(entry: published.Published) -> list[str]:
    classes = f"for {entry.classes} classes" if entry.classes != IMAGENET_CLASSES else ""
    return [remark for remark in (classes, entry.note) if remark]


def _differs(entry: published.Published, gmacs: float | None) -> bool:
    """Return True if the measured multiply-adds differ from the published ones by more than rounding and `TOLERANCE`."""
    if not entry.gmacs or not entry.reason or gmacs is None or missing(gmacs):
        return False
    return not published.matches(entry.gmacs, gmacs) and abs(gmacs / float(entry.gmacs) - 1) > TOLERANCE


def replacement_note(row: Row) -> str:
    """Return how many convolutions of a network were replaced and why the others were not; empty for other rows."""
    if missing(row["convs_exchanged"]):
        return ""
    replaced, unchanged = int(row["convs_exchanged"]), int(row["convs_kept"])
    reasons = f"; unchanged: {row['convs_kept_why']}" if unchanged else ""
    return f"{replaced} of {replaced + unchanged} convolutions replaced{reasons}"


def training_key(record: Record) -> TrainingKey:
    """Return the key of a training for `accuracy_note`."""
    cell = record.job.cell
    return cell.label, record.env, cell.device, cell.threads


def accuracy_note(row: Row, trainings: Collection[TrainingKey]) -> str:
    """Return the note of a network without an accuracy in its row that was trained under another protocol, else ""."""
    trained = row["level"] == "model" and (row["label"], row["env"], row["device"], row["threads"]) in trainings
    return "trained under another protocol, see below" if trained else ""
