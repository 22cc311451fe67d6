"""A table of a committed run inside another page, between `<!-- leaderboard RUN RES -->` and `<!-- /leaderboard -->`."""

from __future__ import annotations

import re
from pathlib import Path

from bench.report.leaderboard import SETTING, heading, ranking
from bench.store import NAME, read, tidy

MARKED = re.compile(r"(<!-- leaderboard (\S+) (\d+) -->\n).*?(<!-- /leaderboard -->)", re.DOTALL)


def extract(run: Path, height: int, baseline: str) -> str:
    """The first setting of a run at one resolution: heading and table; raises ValueError where the run has none such."""
    table = tidy(read(run / NAME))
    rows = table[(table["height"] == height) & (table["width"] == height)]
    if rows.empty:
        raise ValueError(f"{run} has no cell at {height} px")
    key, setting = next(iter(rows.groupby(SETTING, sort=False, dropna=False)))
    title = heading(dict(zip(SETTING, key)), setting).strip().replace("### ", f"**{height} px, ") + "**\n"
    return "\n".join([title, *ranking(setting, baseline)]).rstrip() + "\n"


def fill(page: str, results: Path, baseline: str) -> str:
    """The page with every marked table generated anew from the runs in `results`."""
    return MARKED.sub(
        lambda mark: f"{mark[1]}\n{extract(results / mark[2], int(mark[3]), baseline)}\n{mark[4]}",
        page,
    )
