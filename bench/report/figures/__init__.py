"""Every figure that a journal supports, as SVG and PNG: pure functions of the journal and its tidy table."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from bench.journal import Journal
from bench.report.figures import frames, kernels, pareto, reach, relative, roofline, scaling, winners
from bench.report.figures.canvas import theme
from bench.tables.cells import Row, to_frame

# What `frames.slug` and `reach.draw` call a file.
KIND = r"winners|relative|pareto|roofline|crossover(-\d+)?|(latency|memory)-(resolution|channels)"
NAME = re.compile(rf"(({KIND})_(cpu|cuda)|reach_farpair).*\.(svg|png)")
MOST = 24  # of one kind: a wide sweep has hundreds of settings, and each figure takes seconds


def draw(journal: Journal, rows: Sequence[Row], folder: Path, most: int = MOST) -> list[Path]:
    """Draw what the data support into the folder, which is made where there is something; the paths of what was written.

    `rows` are all of the journal. Of one kind the first `most` settings are drawn, and a line on stderr says where there are more.
    Older figures that are not drawn again are deleted; other files in the folder are left alone.
    """
    drawn = list(pictures(journal, rows, folder, most)) if rows else []
    for path in folder.glob("*_*"):
        if NAME.fullmatch(path.name) and path not in drawn:
            path.unlink()
    return drawn


def pictures(journal: Journal, rows: Sequence[Row], folder: Path, most: int) -> Iterator[Path]:
    """Draw them one by one."""
    whole = frames.complete(to_frame(rows))
    swept = frames.kernel_sweeps(whole)
    rest = whole.drop(swept.index)
    kinds = {
        "reach": reach.draw(journal, folder),
        "winners": winners.draw(rest, rows, folder),
        "relative": relative.draw(rest, folder),
        "pareto": pareto.draw(rest, folder),
        "crossover": kernels.draw(swept, journal, folder),
        **{
            f"{quantity.metric}-{along.name}": scaling.draw(rest, folder, along, quantity)
            for along in scaling.ALONG
            for quantity in scaling.QUANTITIES
        },
        "roofline": roofline.draw(rest, journal, folder),
    }
    with theme():
        for kind, paths in kinds.items():
            yield from islice(paths, 2 * most)  # an SVG and a PNG each
            if next(iter(paths), None):
                print(f"{folder}: of {kind} the first {most} settings are drawn, there are more", file=sys.stderr)
