"""Every figure that a journal supports, as SVG and PNG: pure functions of the journal and its tidy table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pandas as pd

from bench.report.figures import frames, kernels, pareto, reach, relative, roofline, scaling, winners
from bench.report.figures.canvas import theme
from bench.store import Journal

# What `frames.slug` and `reach.draw` call a file.
KIND = r"winners|relative|pareto|roofline|crossover(-\d+)?|(latency|memory)-(resolution|channels)"
NAME = re.compile(rf"(({KIND})_(cpu|cuda)|reach_farpair).*\.(svg|png)")
MOST = 24  # of one kind: a wide sweep has hundreds of settings, and each figure takes seconds


def draw(journal: Journal, table: pd.DataFrame, folder: Path, most: int = MOST) -> list[Path]:
    """Draw what the data support into the folder, which is made where there is something; the paths of what was written.

    `table` is the journal's tidy table. Of one kind the first `most` settings are drawn. Older figures that are not drawn again are
    deleted; other files in the folder are left alone.
    """
    drawn = [] if table.empty else list(pictures(journal, table, folder, most))
    for path in folder.glob("*_*"):
        if NAME.fullmatch(path.name) and path not in drawn:
            path.unlink()
    return drawn


def pictures(journal: Journal, table: pd.DataFrame, folder: Path, most: int) -> Iterator[Path]:
    """Draw them one by one."""
    whole = frames.complete(table)
    swept = frames.kernel_sweeps(whole)
    rest = whole.drop(swept.index)
    kinds = (
        reach.draw(journal, folder),
        winners.draw(rest, journal, folder),
        relative.draw(rest, folder),
        pareto.draw(rest, folder),
        kernels.draw(swept, journal, folder),
        *(scaling.draw(rest, folder, along, quantity) for along in scaling.ALONG for quantity in scaling.QUANTITIES),
        roofline.draw(rest, journal, folder),
    )
    with theme():
        for kind in kinds:
            yield from islice(kind, 2 * most)
