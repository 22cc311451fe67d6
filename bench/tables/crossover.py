"""From which kernel size on the Fourier form of a depthwise convolution beats the direct one: a pure function of the journal.

Both forms give the same result. The operations of the direct one grow with the area of the kernel, those of the Fourier one hardly
at all, so that somewhere the two cross; where, depends on the map, the channels, the device and on whether gradients are made.
Verdicts are those of `comparison`, on rounds that both forms ran side by side; between the sizes `direct_until` and `fourier_from`
that they name lies the answer. The `crossing` is one number by which to compare settings: between two measured sizes the logarithm
of the ratio of the two latencies is taken to be a line in that of the kernel size. It has no interval, for where a library leaves
its fast path between two sizes the ratio jumps, and that error is larger than the noise of the measurement.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.columns import Column
from bench.columns import get as column
from bench.journal import Journal
from bench.spec import Cell, Record
from bench.stats import ratios as comparison

DIRECT, FOURIER = "dwconv_direct", "dwconv_fft"
AXES = ("device", "threads", "dtype", "mode", "batch", "channels", "height", "width", "seed")
COLUMNS: tuple[Column, ...] = (
    *(column(name) for name in (*AXES, "timer", "env")),
    Column("kernel_min", "", "px", "", "smallest kernel size that was measured in both forms"),
    Column("kernel_max", "", "px", "", "largest kernel size that was measured in both forms"),
    Column(
        "outcome",
        "",
        "",
        "",
        "crosses; without a crossing direct, fourier or unclear: the form that is told to be faster at kernel_max",
    ),
    Column("direct_until", "", "px", "", "largest kernel size at which the direct form is told to be faster; empty: at none"),
    Column(
        "fourier_from", "", "px", "", "smallest from which on the Fourier form is told to be faster at every size; empty: at none"
    ),
    Column("crossing", "", "px", "", "kernel size at which both take as long, interpolated; the last where there are several"),
    Column("ratio_max", "", "", "", "latency of the direct over that of the Fourier form at kernel_max"),
    Column("ratio_max_lo", "", "", "", "lower end of its 95% interval, paired by round"),
    Column("ratio_max_hi", "", "", "", "upper end of that interval"),
    Column("failed", "", "", "", "kernel sizes that are missing because a form failed, and how"),
)
Row = dict[str, Any]
Forms = dict[str, Record]  # name of the form -> its record


def write(journal: Journal) -> list[Path]:
    """Write crossover.csv beside the journal where both forms were measured over kernel sizes; its path."""
    import pandas as pd

    found = rows(journal)
    path = journal.path.with_name("crossover.csv")
    if not found:
        path.unlink(missing_ok=True)  # of what is history now
        return []
    pd.DataFrame(found, columns=[one.name for one in COLUMNS]).to_csv(path, index=False)
    return [path]


def rows(journal: Journal) -> list[Row]:
    """The columns of every setting in which both forms were measured with two kernel sizes or more."""
    return [row(setting, timer, env, sizes) for (setting, timer, env), sizes in sweeps(journal) if len(sizes) > 1]


def sweeps(journal: Journal) -> Iterator[tuple[tuple[Cell, str, str], dict[int, Forms]]]:
    """Setting, timer and environment with the records of both forms by kernel size."""
    found: dict[Any, dict[int, Forms]] = {}
    for record in journal.current():
        cell = record.job.cell
        plain = cell.level == "op" and not (cell.params or cell.alias)
        if record.job.metric == "latency" and cell.method in (DIRECT, FOURIER) and cell.kernel and plain:
            timer = record.job.protocol.timer  # type: ignore[attr-defined]
            setting = replace(cell, method="", kernel=None), timer, record.env
            found.setdefault(setting, {}).setdefault(cell.kernel, {})[cell.method] = record
    for setting, sizes in found.items():
        yield setting, {kernel: forms for kernel, forms in sorted(sizes.items()) if len(forms) == 2}


def row(setting: Cell, timer: str, env: str, sizes: Mapping[int, Forms]) -> Row:
    """The columns of one setting from the records of both forms by rising kernel size."""
    known = {name: getattr(setting, name) for name in AXES} | {"timer": timer, "env": env, "failed": "; ".join(failures(sizes))}
    ran = {kernel: forms for kernel, forms in sizes.items() if all(form.status == "ok" for form in forms.values())}
    facts = {kernel: [comparison.timing_of(forms[name]) for name in (DIRECT, FOURIER)] for kernel, forms in ran.items()}
    ratios = {kernel: ratio for kernel, pair in facts.items() if not math.isnan((ratio := comparison.ratio(*pair)).mid)}
    if not ratios:
        return known
    kernels, last = list(ratios), ratios[max(ratios)]
    verdicts = [comparison.verdict_of(*facts[kernel]) for kernel in kernels]
    winner = {"faster": "direct", "slower": "fourier"}.get(verdicts[-1], "unclear")
    at = last_rise(kernels, [ratio.mid for ratio in ratios.values()]) if winner == "fourier" else None
    return known | {
        "kernel_min": kernels[0],
        "kernel_max": kernels[-1],
        "outcome": winner if at is None else "crosses",
        "direct_until": max((k for k, verdict in zip(kernels, verdicts) if verdict == "faster"), default=None),
        "fourier_from": first_of_last("slower", kernels, verdicts),
        "crossing": at,
        **dict(zip(("ratio_max", "ratio_max_lo", "ratio_max_hi"), last)),
    }


def failures(sizes: Mapping[int, Forms]) -> Iterator[str]:
    """Every failure, as `31: dwconv_direct timeout`."""
    for kernel, forms in sizes.items():
        for name, record in forms.items():
            if record.status != "ok":
                yield f"{kernel}: {name} {record.status}"


def first_of_last(wanted: str, kernels: Sequence[int], verdicts: Sequence[str]) -> int | None:
    """The kernel size from which on every verdict is the wanted one; None where the last is another."""
    first = None
    for kernel, verdict in zip(reversed(kernels), reversed(verdicts)):
        if verdict != wanted:
            break
        first = kernel
    return first


def last_rise(kernels: Sequence[int], ratios: Sequence[float]) -> float | None:
    """Where positive values rise through 1 for the last time, on a line in logarithms between its neighbours.

    None where they do not, or the last is not above 1.
    """
    for index in reversed(range(1, len(kernels))):
        below, above = math.log(ratios[index - 1]), math.log(ratios[index])
        if not above > 0:
            break
        if not below > 0:
            share = below / (below - above)
            return float(kernels[index - 1] * (kernels[index] / kernels[index - 1]) ** share)
    return None
