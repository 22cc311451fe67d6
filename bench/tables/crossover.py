"""Kernel size from which the Fourier form of a depthwise convolution is faster than the direct form, computed from the journal.

Both forms compute the same result. The operations of the direct form grow with the kernel area, those of the Fourier form hardly
change, so the latencies cross at some kernel size. It depends on the feature map, the channels, the device and the mode. The
verdicts (`bench.stats.ratios`) compare interleaved rounds of both forms; the crossing lies between `direct_until` and
`fourier_from`. `crossing` is a single number for comparing settings: the logarithm of the latency ratio is interpolated linearly in
the logarithm of the kernel size. It has no interval: if a library leaves its fast path between two sizes, the ratio jumps, and this
error is larger than the measurement noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.axes import PER_CELL
from bench.axes import columns as columns_of_axes
from bench.columns import Column, column_of
from bench.journal import Journal
from bench.spec import Cell, Record
from bench.stats import ratios
from bench.stats.ratios import Timed

DIRECT, FOURIER = "dwconv_direct", "dwconv_fft"
AXES = columns_of_axes(PER_CELL)
COLUMNS: tuple[Column, ...] = (
    *(column_of(name) for name in (*AXES, "timer", "env")),
    Column("kernel_min", unit="px", meaning="smallest kernel size measured in both forms"),
    Column("kernel_max", unit="px", meaning="largest kernel size measured in both forms"),
    Column(
        "outcome",
        meaning="crosses, or without a crossing the form that is significantly faster at kernel_max: direct, fourier or unclear",
    ),
    Column(
        "direct_until", unit="px", meaning="largest kernel size at which the direct form is significantly faster; empty if none"
    ),
    Column(
        "fourier_from", unit="px", meaning="smallest size from which on the Fourier form is significantly faster; empty if none"
    ),
    Column("crossing", unit="px", meaning="interpolated kernel size of equal latency; the last if there are several"),
    Column("ratio_max", meaning="latency of the direct form over that of the Fourier form at kernel_max"),
    Column("ratio_max_lo", meaning="lower end of the 95% confidence interval, paired by round"),
    Column("ratio_max_hi", meaning="upper end of the 95% confidence interval"),
    Column("failed", meaning="kernel sizes missing because a form failed, with the status"),
)
Row = dict[str, Any]
Forms = dict[str, Record]  # form -> record


def write(journal: Journal) -> list[Path]:
    """Write crossover.csv next to the journal if both forms were measured over kernel sizes, else delete an older file.

    Returns the paths written.
    """
    import pandas as pd

    lines = rows(journal)
    path = journal.path.with_name("crossover.csv")
    if not lines:
        path.unlink(missing_ok=True)
        return []
    pd.DataFrame(lines, columns=[column.name for column in COLUMNS]).to_csv(path, index=False)
    return [path]


def rows(journal: Journal) -> list[Row]:
    """Return one row per setting in which both forms were measured with at least two kernel sizes."""
    return [row(setting, timer, env, sizes) for (setting, timer, env), sizes in sweeps(journal) if len(sizes) > 1]


def sweeps(journal: Journal) -> Iterator[tuple[tuple[Cell, str, str], dict[int, Forms]]]:
    """Yield (setting, timer, environment) and the records of both forms by kernel size."""
    by_setting: dict[Any, dict[int, Forms]] = {}
    for record in journal.current():
        cell = record.job.cell
        plain = cell.level == "op" and not (cell.params or cell.alias)
        if record.job.metric == "latency" and cell.method in (DIRECT, FOURIER) and cell.kernel and plain:
            timer = record.job.protocol.timer  # type: ignore[attr-defined]
            setting = replace(cell, method="", kernel=None), timer, record.env
            by_setting.setdefault(setting, {}).setdefault(cell.kernel, {})[cell.method] = record
    for setting, sizes in by_setting.items():
        yield setting, {kernel: forms for kernel, forms in sorted(sizes.items()) if len(forms) == 2}


def row(setting: Cell, timer: str, env: str, sizes: Mapping[int, Forms]) -> Row:
    """Return the columns of one setting from the records of both forms, sorted by kernel size."""
    columns = {name: getattr(setting, name) for name in AXES} | {"timer": timer, "env": env, "failed": "; ".join(failures(sizes))}
    ran = {kernel: forms for kernel, forms in sizes.items() if all(form.status == "ok" for form in forms.values())}
    timings = {kernel: [Timed.of(forms[name]) for name in (DIRECT, FOURIER)] for kernel, forms in ran.items()}
    by_kernel = {kernel: ratio for kernel, pair in timings.items() if not math.isnan((ratio := ratios.ratio(*pair)).mid)}
    if not by_kernel:
        return columns
    kernels, largest = list(by_kernel), by_kernel[max(by_kernel)]
    verdicts = [ratios.verdict_of(*timings[kernel]) for kernel in kernels]
    winner = {"faster": "direct", "slower": "fourier"}.get(verdicts[-1], "unclear")
    crossing = last_crossing(kernels, [ratio.mid for ratio in by_kernel.values()]) if winner == "fourier" else None
    return columns | {
        "kernel_min": kernels[0],
        "kernel_max": kernels[-1],
        "outcome": winner if crossing is None else "crosses",
        "direct_until": max((k for k, verdict in zip(kernels, verdicts) if verdict == "faster"), default=None),
        "fourier_from": start_of_final("slower", kernels, verdicts),
        "crossing": crossing,
        **dict(zip(("ratio_max", "ratio_max_lo", "ratio_max_hi"), largest)),
    }


def failures(sizes: Mapping[int, Forms]) -> Iterator[str]:
    """Yield every failure as text, such as `31: dwconv_direct timeout`."""
    for kernel, forms in sizes.items():
        for name, record in forms.items():
            if record.status != "ok":
                yield f"{kernel}: {name} {record.status}"


def start_of_final(verdict: str, kernels: Sequence[int], verdicts: Sequence[str]) -> int | None:
    """Return the kernel size from which all verdicts equal `verdict`, or None if the last one differs."""
    first = None
    for kernel, other in zip(reversed(kernels), reversed(verdicts)):
        if other != verdict:
            break
        first = kernel
    return first


def last_crossing(kernels: Sequence[int], by_kernel: Sequence[float]) -> float | None:
    """Return the kernel size at which the ratios last rise through 1, interpolated linearly on logarithmic axes.

    The ratios must be positive. None if they do not rise through 1 or the last is not above 1.
    """
    for index in reversed(range(1, len(kernels))):
        below, above = math.log(by_kernel[index - 1]), math.log(by_kernel[index])
        if not above > 0:
            break
        if not below > 0:
            fraction = below / (below - above)
            return float(kernels[index - 1] * (kernels[index] / kernels[index - 1]) ** fraction)
    return None
