"""The command `recommend`: the fastest method within limits."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.axes import fields
from bench.cli.common_args import clear_errors, command
from bench.journal import JOURNAL, read_journal, runs_in
from bench.kinds import BYTES, FOLDER, PERCENT, SECONDS, TEXT
from bench.options import JsonOption, group, option
from bench.runner.options import QueryOptions

if TYPE_CHECKING:
    from bench.report.recommend.answer import Query


@dataclass(frozen=True, kw_only=True)
class RecommendOptions(JsonOption):
    """Options of the command."""

    folder: Path = option(Path("results"), "A run, or a folder of runs.", FOLDER, argument=True)
    setting: Any = group(QueryOptions)
    max_latency: float | None = option(None, "Latency limit per call, such as 5ms.", SECONDS)
    max_memory: float | None = option(None, "Peak memory limit per call, such as 100MB.", BYTES)
    min_accuracy: float | None = option(None, "Accuracy limit, of a network with the operator.", PERCENT)
    data: str | None = option(None, "Data set of --min-accuracy; default: the one with most trained methods.", TEXT)


@command(RecommendOptions)
def main(options: RecommendOptions) -> None:
    """Recommend the fastest method at a setting within limits.

    The evidence are the runs in a folder. A method satisfies a limit if the whole 95% interval does. Nothing is extrapolated from
    other settings: without results the answer is the command that measures them. Each machine has its own answer, this one first.

    Exit status: 0 if a method is recommended, else 1.
    """
    with clear_errors():
        any_method = recommended(options)
    raise SystemExit(0 if any_method else 1)


def recommended(options: RecommendOptions) -> bool:
    """Print the recommendation and return whether there is one. Raises ValueError and CorruptJournal."""
    from bench.report.recommend.answer import recommend
    from bench.report.recommend.text import as_data, text

    journals = [read_journal(run / JOURNAL) for run in runs_in(options.folder.resolve())]
    answer = recommend(journals, query(options))
    if options.as_json:
        click.echo(json.dumps(as_data(answer, options.folder), indent=2, allow_nan=False))
    else:
        click.echo(text(answer, options.folder, shutil.get_terminal_size((132, 24)).columns))
    return bool(answer.recommended)


def query(options: RecommendOptions) -> Query:
    """Return the query of these options. Raises ValueError for a data set without a limit."""
    from bench.report.recommend.answer import AXES_QUERIED, Query

    if options.data and options.min_accuracy is None:
        raise ValueError("--data selects the data set of --min-accuracy: give that too")
    device = options.setting.device
    values = vars(options.setting) | {"device": {"cuda": "cuda:0"}.get(device, device)}
    return Query(
        fields(values, AXES_QUERIED) | ({"device": None} if device in (None, "auto") else {}),
        max_latency_ms=None if options.max_latency is None else 1e3 * options.max_latency,
        max_memory=options.max_memory,
        min_accuracy=options.min_accuracy,
        data=options.data,
    )
