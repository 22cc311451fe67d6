"""Progress of a sweep: the plan, then a bar with the remaining time on a terminal and in a notebook, else one line per job."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec

import methods
from bench.axes import short_text
from bench.columns import METRICS
from bench.spec import Job, Record


def line(record: Record) -> str:
    """Return one line for a record: its cell, and the value of its metric or the reason for its absence."""
    job = record.job
    start = f"{job.cell.label} {short_text(vars(job.cell))} {job.metric}"
    if record.status != "ok":
        return f"{start}: {record.status} ({record.detail})"
    return f"{start}: {value_text(record)} [{record.seconds:.1f} s]"


def value_text(record: Record) -> str:
    """Return the headline of a metric with its unit, or with its name if it has no unit."""
    column = METRICS[record.job.metric].headline
    value = record.values.get(column.name)
    if value is None:
        return f"no {column.name}"
    return f"{value:.4g} {column.unit}" if column.unit else f"{column.name} {value:.6g}"


@contextmanager
def progress(estimates: Mapping[Job, float]) -> Iterator[Callable[[Record], None]]:
    """Yield a function to call with each record."""
    from rich.console import Console

    console = Console(stderr=True)
    if not (find_spec("ipywidgets") if console.is_jupyter else console.is_terminal):  # a notebook draws a bar with ipywidgets
        count = iter(range(1, len(estimates) + 1))
        yield lambda record: print(f"[{next(count)}/{len(estimates)}] {line(record)}", file=sys.stderr, flush=True)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f}%"), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("measuring", total=sum(estimates.values()))

        def seen(record: Record) -> None:
            bar.update(task, advance=estimates.get(record.job, 0.0), description=f"{record.job.cell.label} {record.job.metric}")
            if record.status != "ok":
                console.print(line(record), markup=False, highlight=False)

        yield seen


def plan_lines(estimates: Mapping[Job, float]) -> Iterator[str]:
    """Yield every open job with its estimated time, or with the reason why the method does not support it. Imports torch."""
    for job, seconds in estimates.items():
        reason = unsupported(job)
        yield f"{job.cell.label:24} {short_text(vars(job.cell))} {job.metric:8} {reason or f'~{seconds:.1f} s'}"


def unsupported(job: Job) -> str:
    """Return why the constructor rejects a cell, built on the meta device; empty if it does not."""
    from bench.plan import IMAGE_CHANNELS
    from bench.workload.build import Workload

    try:
        Workload(replace(job.cell, channels=job.cell.channels or IMAGE_CHANNELS)).build("meta")
    except methods.Unsupported as reason:
        return f"skip: {reason}"
    except Exception as error:  # the sweep records it as a row
        return f"error: {type(error).__name__}: {error}"
    return ""
