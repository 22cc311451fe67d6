"""Tables of committed runs in other pages, between `<!-- leaderboard RUN RES [CHANNELS [ROWS]] -->` and `<!-- /leaderboard -->`."""

from __future__ import annotations

import math
import re
from pathlib import Path

from bench.journal import JOURNAL, read_journal
from bench.report.blocks import Bold, Paragraph, join
from bench.report.leaderboard.page import group_by, heading, measured
from bench.report.leaderboard.ranking import ranking
from bench.report.markdown import document
from bench.tables.cells import SETTING, complete_rows

MARKED = re.compile(r"(<!-- leaderboard (\S+) (\d+)(?: (\d+))?(?: (\d+))? -->\n).*?(<!-- /leaderboard -->)", re.DOTALL)


def extract(run: Path, height: int, channels: int | None = None, most: int | None = None) -> str:
    """Return title and table, in markdown, of the first setting of a run at a resolution and, if given, number of channels.

    `most` limits the table to the fastest rows.

    Raises ValueError if the run has no such setting.
    """
    journal = read_journal(run / JOURNAL)
    rows = [row for row in filter(measured, complete_rows(journal)) if row["height"] == row["width"] == height]
    rows = [row for row in rows if channels in (None, row["channels"])]
    if not rows:
        raise ValueError(f"{run} has no cell at {height} px" + (f" and {channels} channels" if channels else ""))
    setting = next(iter(group_by(rows, *SETTING).values()))
    setting = sorted(setting, key=lambda row: row["latency_ms"] or math.inf)[:most]
    title = Paragraph(Bold(join(f"{height} px, ", heading(setting).text)))
    return document([title, ranking(setting, journal.baseline_of(setting[0]["level"]))])


def fill(page: str, results: Path) -> str:
    """Return the page with every marked table regenerated from the runs in `results`."""

    def replacement(mark: re.Match[str]) -> str:
        text = extract(results / mark[2], *(int(number) for number in mark.group(3, 4, 5) if number))
        return f"{mark[1]}\n{text}\n{mark[6]}"

    return MARKED.sub(replacement, page)
