"""Figures of a run as SVG and PNG, computed from its journal and tidy table."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from bench.journal import Journal
from bench.report import manifest
from bench.report.figures import frames, kernels, pareto, reach, relative, roofline, scaling, winners
from bench.report.figures.canvas import Drawing, save, theme
from bench.tables.row import Row

MAX_PER_KIND = 24  # a wide sweep has hundreds of settings, and each figure takes seconds


def draw(journal: Journal, rows: Sequence[Row], folder: Path, most: int = MAX_PER_KIND) -> list[Path]:
    """Draw all figures that the data support into the folder and return their paths.

    `rows` are all rows of the journal. At most `most` settings are drawn per kind; a message on stderr reports if there are more.
    The figures are listed in `manifest.json`. Figures of its previous version that are not drawn again are deleted; other files in
    the folder are not touched.
    """
    drawn: list[manifest.Figure] = []
    paths: list[Path] = []
    with theme():
        for kind, drawings in kinds(journal, rows).items() if rows else ():
            for listed, figure in islice(drawings, most):
                drawn.append(listed)
                paths += save(figure, folder, Path(listed.file).stem)
            if next(drawings, None):
                print(f"{folder}: only the first {most} settings of {kind} are drawn", file=sys.stderr)
    manifest.update(folder, drawn)
    return paths


def kinds(journal: Journal, rows: Sequence[Row]) -> dict[str, Iterator[Drawing]]:
    """Return the drawings of each kind of figure, drawn one by one."""
    table = frames.complete(rows)
    swept = frames.kernel_sweeps(table)
    rest = table.drop(swept.index)
    return {
        "reach": reach.draw(journal),
        "winners": winners.draw(rest, rows),
        "relative": relative.draw(rest),
        "pareto": pareto.draw(rest),
        "crossover": kernels.draw(swept, journal),
        **{
            f"{quantity.metric}-{along.name}": scaling.draw(rest, along, quantity)
            for along in scaling.ALONG
            for quantity in scaling.QUANTITIES
        },
        "roofline": roofline.draw(rest, journal),
    }
