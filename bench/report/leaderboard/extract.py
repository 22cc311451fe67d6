"""A table of a committed run inside another page, between `<!-- leaderboard RUN RES [CHANNELS] -->` and `<!-- /leaderboard -->`."""

from __future__ import annotations

import re
from pathlib import Path

from bench.journal import NAME, read
from bench.report.leaderboard.page import grouped, heading, measured
from bench.report.leaderboard.ranking import ranking
from bench.tables.cells import SETTING, complete_rows

MARKED = re.compile(r"(<!-- leaderboard (\S+) (\d+)(?: (\d+))? -->\n).*?(<!-- /leaderboard -->)", re.DOTALL)


def extract(run: Path, height: int, channels: int | None = None) -> str:
    """The first setting of a run at one resolution, of so many channels if told: heading and table.

    Raises ValueError where the run has none such.
    """
    journal = read(run / NAME)
    rows = [row for row in filter(measured, complete_rows(journal)) if row["height"] == row["width"] == height]
    rows = [row for row in rows if channels in (None, row["channels"])]
    if not rows:
        raise ValueError(f"{run} has no cell at {height} px" + (f" and {channels} channels" if channels else ""))
    setting = next(iter(grouped(rows, *SETTING).values()))
    title = heading(setting).strip().replace("### ", f"**{height} px, ") + "**\n"
    return "\n".join([title, *ranking(setting, journal.baseline_of(setting[0]["level"]))]).rstrip() + "\n"


def fill(page: str, results: Path) -> str:
    """The page with every marked table generated anew from the runs in `results`."""

    def made(mark: re.Match[str]) -> str:
        text = extract(results / mark[2], int(mark[3]), int(mark[4]) if mark[4] else None)
        return f"{mark[1]}\n{text}\n{mark[5]}"

    return MARKED.sub(made, page)
