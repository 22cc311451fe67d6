"""What the tables say of networks besides their figures: those published, what was exchanged, where an accuracy is found."""

from __future__ import annotations

from collections.abc import Collection

from bench.nets import published
from bench.report.text import Footnotes, missing
from bench.spec import ORIGINAL, Record
from bench.tables.cells import Row

APART = 0.005  # from that share on a difference in multiply-adds is explained
Trained = tuple[str, str, str, int]  # label, environment, device, threads


def entry(row: Row) -> published.Published | None:
    """The published figures of a row: of a network as published, on images like those they were published for."""
    if row["level"] != "model" or row["method"] != ORIGINAL:
        return None
    found = published.of(row["network"])
    return found if found and (row["height"], row["width"], row["channels"]) == (found.res, found.res, 3) else None


def beside(row: Row, heading: str, notes: Footnotes) -> dict[str, str]:
    """The column of published figures that stands beside one of ours, if any, with what explains a difference as notes."""
    found = entry(row)
    if heading == "params":
        return {"published params": found.params + "".join(map(notes.mark, _remarks(found))) if found else ""}
    if heading == "GMAC":
        mark = notes.mark(found.reason) if found and _apart(found, row["gmacs"]) else ""
        return {"published GMAC": found.gmacs + mark if found else ""}
    return {}


def _remarks(found: published.Published) -> list[str]:
    """What is to be known of published parameters."""
    classes = f"for {found.classes} classes" if found.classes != published.IMAGENET else ""
    return [remark for remark in (classes, found.note) if remark]


def _apart(found: published.Published, gmacs: float | None) -> bool:
    """Whether our multiply-adds are others than those published, by more than rounding and `APART`."""
    if not found.gmacs or not found.reason or gmacs is None or missing(gmacs):
        return False
    return not published.matches(found.gmacs, gmacs) and abs(gmacs / float(found.gmacs) - 1) > APART


def exchanged(row: Row) -> str:
    """How many convolutions of a network were exchanged, and why the others were not; empty where none was."""
    if missing(row["convs_exchanged"]):
        return ""
    count, kept = int(row["convs_exchanged"]), int(row["convs_kept"])
    return f"{count} of {count + kept} convolutions exchanged" + (f"; kept: {row['convs_kept_why']}" if kept else "")


def trained(record: Record) -> Trained:
    """What a training is of, as `elsewhere` looks for it."""
    cell = record.job.cell
    return cell.label, record.env, cell.device, cell.threads


def elsewhere(row: Row, trainings: Collection[Trained]) -> str:
    """Why a network that was trained has no accuracy in its row; empty where it was not trained."""
    known = row["level"] == "model" and (row["label"], row["env"], row["device"], row["threads"]) in trainings
    return "under another protocol, below" if known else ""
