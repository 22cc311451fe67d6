"""Figures of a run as SVG and PNG, computed from its journal and tidy table."""

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

# File names of `frames.slug` and `reach.draw`.
KIND = r"winners|relative|pareto|roofline|crossover(-\d+)?|(latency|memory)-(resolution|channels)"
NAME = re.compile(rf"(({KIND})_(cpu|cuda)|reach_farpair).*\.(svg|png)")
MAX_PER_KIND = 24  # a wide sweep has hundreds of settings, and each figure takes seconds


def draw(journal: Journal, rows: Sequence[Row], folder: Path, most: int = MAX_PER_KIND) -> list[Path]:
    """Draw all figures that the data support into the folder and return their paths.

    `rows` are all rows of the journal. At most `most` settings are drawn per kind; a message on stderr reports if there are more.
    Older figures that are not drawn again are deleted; other files in the folder are not touched.
    """
    drawn = list(figures(journal, rows, folder, most)) if rows else []
    for path in folder.glob("*_*"):
        if NAME.fullmatch(path.name) and path not in drawn:
            path.unlink()
    return drawn


def figures(journal: Journal, rows: Sequence[Row], folder: Path, most: int) -> Iterator[Path]:
    """Draw the figures and yield their paths."""
    table = frames.complete(to_frame(rows))
    swept = frames.kernel_sweeps(table)
    rest = table.drop(swept.index)
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
            yield from islice(paths, 2 * most)  # each figure is an SVG and a PNG
            if next(iter(paths), None):
                print(f"{folder}: only the first {most} settings of {kind} are drawn", file=sys.stderr)
