"""The Python functions of the harness: run a sweep, load a run, compare two runs. Imports no torch.

import bench

results = bench.run(methods=["niff", "dwconv31"], res=[56], metrics=["flops", "latency"], out="results/first")
results.table          # tidy DataFrame, one row per cell
results.leaderboard()  # markdown, rendered in notebooks
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn

    from bench.journal import Journal
    from bench.keywords import SweepKeywords
    from bench.nets import Build, Size
    from bench.nets.replacement import Replacements
    from bench.report.compare.comparison import Comparison

Sizes = int | str | Sequence[int | str | tuple[int, int]]


class Markdown(str):
    """Text that a notebook renders as markdown."""

    __slots__ = ()

    def _repr_markdown_(self) -> str:
        return str(self)


class ComparedRuns:
    """Two runs compared cell by cell. Its text is that of `python -m bench compare`."""

    def __init__(self, comparison: Comparison):
        self.comparison = comparison

    @property
    def table(self) -> pd.DataFrame:
        """One row per cell: label, axes, both values, the change B over A (accuracy: B minus A) with its interval, the verdict."""
        import pandas as pd

        from bench.axes import columns
        from bench.report.compare.runs import value_of

        lines = []
        for row in self.comparison.rows:
            change = dict(zip(("change", "change_lo", "change_hi"), row.change))
            values = {"a": value_of(row.a), "b": value_of(row.b), **change, "verdict": row.verdict, "reason": row.reason}
            lines.append({"label": row.cell.label, **{name: getattr(row.cell, name) for name in columns()}, **values})
        return pd.DataFrame(lines)

    def __str__(self) -> str:
        from bench.report.compare.text import text

        return text(self.comparison)

    __repr__ = __str__


class Results:
    """A run: what its journal holds. Every table is computed from the journal, as `python -m bench report` does."""

    def __init__(self, run: str | Path):
        """Open a run, given its folder or its journal. Raises ValueError if there is none."""
        from bench.journal import path_in

        self.path = path_in(Path(run))

    @property
    def folder(self) -> Path:
        return self.path.parent

    @cached_property
    def journal(self) -> Journal:
        from bench.journal import read_journal

        return read_journal(self.path)

    @cached_property
    def table(self) -> pd.DataFrame:
        """The tidy table, one row per cell; `python -m bench columns` describes its columns."""
        from bench.tables.cells import tidy

        return tidy(self.journal)

    @cached_property
    def accuracy(self) -> pd.DataFrame:
        """One row per training and evaluation resolution; empty without trainings."""
        from bench.tables.accuracy_csv import frame

        return frame(self.journal)

    @property
    def failures(self) -> pd.DataFrame:
        """One row per job without a value: label, metric, status (failed, skipped or unsupported) and reason."""
        import pandas as pd

        failed = [record for record in self.journal.current() if record.status != "ok"]
        rows = [(record.job.cell.label, record.job.metric, record.status, record.detail) for record in failed]
        return pd.DataFrame(rows, columns=["label", "metric", "status", "detail"])

    def leaderboard(self, sort: str = "latency_ms", group: Sequence[str] | None = None, baseline: str | None = None) -> Markdown:
        """Return the ranked tables as markdown.

        `sort` is the column to rank by, `group` are the axes that split the tables, and `baseline` replaces that of the run. Raises
        ValueError for a column without a better direction, an unknown axis, and a baseline that was not measured.
        """
        from bench.report.leaderboard.page import leaderboard
        from bench.report.leaderboard.view import SPLITTING, View
        from bench.tables.cells import check_baseline, complete_rows

        rows = complete_rows(self.journal, baseline)
        if baseline is not None:
            check_baseline(baseline, [rows])
        return Markdown(leaderboard([self.journal], [rows], View(sort, SPLITTING if group is None else tuple(group), baseline)))

    def compare(self, other: Results | str | Path, metric: str = "latency", threshold: float | str = "5%") -> ComparedRuns:
        """Compare this run (A) with another one (B) cell by cell, as `python -m bench compare` does.

        Raises ValueError for an invalid threshold, and if a metric is unknown or a run has no record of it.
        """
        from bench.kinds import SHARE
        from bench.report.compare.comparison import compare

        second = other if isinstance(other, Results) else load(other)
        return ComparedRuns(compare(self.journal, second.journal, metric, SHARE.of(threshold)))

    def __repr__(self) -> str:
        return f"Results({str(self.folder)!r}: {len(self.table)} rows, {len(self.failures)} jobs without a value)"


def load(run: str | Path) -> Results:
    """Return a run, given its folder or its journal. Raises ValueError if there is none."""
    return Results(run)


def run(
    methods: str | Sequence[str] = (),
    res: Sizes = (),
    *,
    metrics: str | Sequence[str] | None = None,
    out: str | Path = "results/local",
    **options: Unpack[SweepKeywords],
) -> Results:
    """Measure a sweep, write its tables and the leaderboard, and return its results. Running it again resumes the sweep.

    `options` are those of `python -m bench run`, with underscores: `channels=[16, 64]`, `max_cell_time="5min"`,
    `overrides=["niff.hidden=(8,4)"]`. A value is text as on the command line or a Python object. Jobs run in worker processes,
    which import plugins from files only (`plugins=["my_method.py"]`).

    Raises ValueError, ImportError or OSError for invalid options. A failed job is a row with its status.
    """
    from bench.options import command_line
    from bench.runner.options import RunOptions
    from bench.runner.sweep import measure, plan_sweep

    chosen = {} if metrics is None else {"metrics": metrics}
    parsed = RunOptions.of(methods=methods, res=res, out=out, **chosen, **options)
    sweep = plan_sweep(parsed, command_line("run", parsed))
    try:
        measure(sweep, sweep.open(), parsed.figures)
    except KeyboardInterrupt:
        print("interrupted; all finished jobs are saved. The same call resumes the sweep", file=sys.stderr)
        raise
    return Results(parsed.out)


def swap(
    model: nn.Module,
    method: str | Build,
    where: str = "all",
    min_kernel: int = 3,
    resolution: int | Size | None = None,
    in_channels: int | None = None,
) -> tuple[nn.Module, Replacements]:
    """Return a copy of a network with an operator in place of its convolutions, and the report; see `bench.nets.swapping`.

    `method` is a name such as "niff[hidden=(8,4)]", or a function (channels, (H, W)) -> operator. `where` is "all", "depthwise" or
    "dense". `resolution` is that of the images. Raises ValueError for an invalid argument or if no convolution can be replaced, and
    `Unsupported` if the operator does not support one of them.
    """
    from bench.nets import swapping

    return swapping.swap(model, method, where, min_kernel, resolution, in_channels)


def export(network: nn.Module, images: Tensor, path: str | Path) -> Path:
    """Export a network for inference to a .pt2 or .onnx file for images (B, C, H, W); see `bench.nets.exporting`.

    Raises `Unsupported` if an operator cannot be exported, and ValueError for another suffix.
    """
    from bench.nets import exporting

    return exporting.export(network, images, path)
