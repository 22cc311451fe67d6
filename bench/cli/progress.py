"""Progress of a sweep: a bar with the remaining time on a terminal, else one line per job."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import click

from bench.names import channels_text
from bench.spec import Job, Record

HEADLINE = {
    "params": ("params_count", "{:,.0f} parameters"),
    "flops": ("flops", "{:.4g} FLOP"),
    "memory": ("mem_peak_bytes", "{:.4g} B"),
    "latency": ("latency_ms", "{:.4g} ms"),
    "accuracy": ("accuracy", "{:.1f} %"),
}


def line(record: Record) -> str:
    """Return one line for a record."""
    cell = record.job.cell
    parts = (cell.label, f"{cell.res}px", channels_text(cell), f"B{cell.batch}", cell.dtype, cell.device, cell.mode)
    where = " ".join(filter(None, parts))
    if record.status != "ok":
        return f"{where} {record.job.metric}: {record.status} ({record.detail})"
    name, text = HEADLINE.get(record.job.metric, ("", ""))
    value = record.values.get(name)
    return f"{where} {record.job.metric}: {text.format(value) if value is not None else 'ok'} [{record.seconds:.1f} s]"


@contextmanager
def progress(estimates: Mapping[Job, float]) -> Iterator[Callable[[Record], None]]:
    """Yield a function to call with each record."""
    if not sys.stderr.isatty():
        count = iter(range(1, len(estimates) + 1))
        yield lambda record: click.echo(f"[{next(count)}/{len(estimates)}] {line(record)}", err=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f}%"), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("measuring", total=sum(estimates.values()))

        def seen(record: Record) -> None:
            bar.update(task, advance=estimates.get(record.job, 0.0), description=f"{record.job.cell.label} {record.job.metric}")
            if record.status != "ok":
                console.print(line(record), markup=False, highlight=False)

        yield seen
