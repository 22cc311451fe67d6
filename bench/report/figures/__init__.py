"""Every figure that a journal supports, as SVG and PNG: pure functions of the journal and its tidy table."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pandas as pd

from bench.report.figures import frames, kernels, pareto, reach, relative, roofline, scaling, winners
from bench.report.figures.canvas import theme
from bench.store import Journal

MOST = 24  # of one kind: a wide sweep has hundreds of settings, and each figure takes seconds


def draw(journal: Journal, table: pd.DataFrame, folder: Path, most: int = MOST) -> list[Path]:
    """Draw what the data support into the folder, which is made where there is something; the paths of what was written.

    `table` is the journal's tidy table. Of one kind the first `most` settings are drawn. Other files in the folder are left alone.
    """
    if table.empty:
        return []
    whole = frames.complete(table)
    swept = frames.kernel_sweeps(whole)
    rest = whole.drop(swept.index)
    kinds = (
        reach.draw(journal, folder),
        winners.draw(rest, journal, folder),
        relative.draw(rest, journal, folder),
        pareto.draw(rest, folder),
        kernels.draw(swept, journal, folder),
        *(scaling.draw(rest, folder, along, quantity) for along in scaling.ALONG for quantity in scaling.QUANTITIES),
        roofline.draw(rest, journal, folder),
    )
    with theme():
        return [path for kind in kinds for path in islice(kind, 2 * most)]
