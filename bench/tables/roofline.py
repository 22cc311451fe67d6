"""Roofline model: the latency of a cell relative to the measured peak rates of its machine. Does not import torch.

A call moves at least `bytes_min` bytes and executes `flops` operations. `limit_ms` is the longer of the times that the two take at
the peak rates measured by `bench.system.ceilings`.

`pct_of_limit` is `limit_ms` over the latency. It is not a fraction of what is possible for the method: another algorithm may need
fewer operations (the Fourier form instead of the direct form). It is not the utilisation of the chip: the peak rates are measured
with large regular workloads and not taken from a data sheet. A low value means that time is spent elsewhere: on intermediate arrays
that are written and read again, on small or odd sizes, on library overhead. A value above 100 means that a peak rate is wrong for
this cell: it was measured while the machine was busy, the cell runs from a faster cache than a copy of as many bytes, or the
library skips operations that were counted. `bound` names the limiting factor.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = ("bytes_min", "limit_ms", "pct_of_limit", "bound")
FLOAT = 4  # bytes of a float32: inputs, parameters and gradients, also under autocast
OUTPUT = {"fp32": 4, "bf16": 2}  # bytes of an output element; at least two under bfloat16 autocast


def columns(row: Mapping[str, Any], peaks: Mapping[str, Any]) -> dict[str, float | str | None]:
    """Return the roofline columns of a row of the tidy table.

    `peaks` are the measured peak rates of its device. A column is None if anything it needs is missing.
    """
    moved, latency = bytes_min(row), _number(row, "latency_ms")
    times = {"memory": memory_seconds(row, moved, peaks), "compute": compute_seconds(row, peaks)}
    known = [seconds for seconds in times.values() if seconds is not None]
    limit = max(known) * 1e3 if len(known) == len(times) else None
    percent = 100 * limit / latency if limit is not None and latency else None
    slower = max(times, key=lambda name: times[name] or 0.0)
    return dict(zip(COLUMNS, (moved, limit, percent, _bound(row, peaks, slower, limit, latency))))


def bytes_min(row: Mapping[str, Any]) -> float | None:
    """Return the compulsory traffic of one call in bytes: every input and output array once, no intermediate arrays.

    Inference reads the input and the weights (`weights_bytes`) and writes the output. Training also reads the output gradient and
    writes the gradients of the input and of all trainable parameters. None for networks and if a value is missing.
    """
    weights, parameters = _number(row, "weights_bytes"), _number(row, "params_count")
    if row.get("level", "op") != "op" or weights is None or parameters is None:
        return None
    elements = math.prod(int(row[axis]) for axis in ("batch", "channels", "height", "width"))
    forward = elements * (FLOAT + OUTPUT[row["dtype"]]) + weights
    return forward + (FLOAT * (2 * elements + parameters) if row["mode"] == "train" else 0)


def memory_seconds(row: Mapping[str, Any], moved: float | None, peaks: Mapping[str, Any]) -> float | None:
    """Return the time in seconds of a copy of as many bytes, with cold caches if the cell was timed with cold caches."""
    rate = copy_rate(row, moved, peaks)
    return moved / rate if moved and rate else None


def copy_rate(row: Mapping[str, Any], moved: float | None, peaks: Mapping[str, Any]) -> float | None:
    """Return the rate of a copy of `moved` bytes in bytes per second, with caches as cold or hot as in the timing of the row."""
    table = peaks.get("copy", {}).get("cold" if row.get("timer") == "cold" else "hot")
    return bandwidth(table, moved) if table and moved else None


def rates(peaks: Mapping[str, Any], dtype: str) -> dict[str, float]:
    """Return the known peak rates of products and transforms in operations per second."""
    measured = {"products": peaks.get("linear", {}).get(dtype), "transforms": peaks.get("fft")}
    return {name: rate for name, rate in measured.items() if rate}


def operations(row: Mapping[str, Any]) -> float | None:
    """Return the number of operations that a call needs, or None if unknown.

    A call without transforms is a direct convolution. Its taps in the zero padding are not counted (`flops_eff`).
    """
    fourier = _number(row, "flops_fft")
    return None if fourier is None else _number(row, "flops" if fourier else "flops_eff")


def bandwidth(table: Sequence[Sequence[float]], size: float) -> float:
    """Return the bandwidth in bytes per second at a working set of `size` bytes.

    `table` lists [bytes, bytes per second], sorted by bytes. It is interpolated linearly on logarithmic axes and constant outside.
    """
    index = bisect_left(table, size, key=lambda point: point[0])
    if index in (0, len(table)):
        return table[min(index, len(table) - 1)][1]
    (below, slow), (above, fast) = table[index - 1], table[index]
    return slow * (fast / slow) ** (math.log(size / below) / math.log(above / below))


def compute_seconds(row: Mapping[str, Any], peaks: Mapping[str, Any]) -> float | None:
    """Return the time of the operations in seconds: transforms at the float32 transform rate, all others at the product rate."""
    flops, fourier = operations(row), _number(row, "flops_fft")
    peak_rates = rates(peaks, row["dtype"])
    if flops is None or fourier is None or len(peak_rates) < 2:
        return None
    return (flops - fourier) / peak_rates["products"] + fourier / peak_rates["transforms"]


def _bound(row: Mapping[str, Any], peaks: Mapping[str, Any], slower: str, limit: float | None, latency: float | None) -> str | None:
    """Return "launch", or else the slower of memory and compute; None if unknown."""
    if limit is None or not latency:
        return None
    launch_bound = _is_launch_bound(row, peaks, limit, latency)
    return None if launch_bound is None else "launch" if launch_bound else slower


def _is_launch_bound(row: Mapping[str, Any], peaks: Mapping[str, Any], limit: float, latency: float) -> bool | None:
    """Return True if launching operations takes most of the time: as measured, else estimated from their number.

    False for the GPU timers that exclude launch time.
    """
    if row.get("timer") in ("cold", "hot", "graph"):
        return False
    measured, operations, launch = _number(row, "launch_bound"), _number(row, "op_count"), peaks.get("launch_s")
    if measured is not None:
        return measured > 0
    if operations is None or not launch:
        return None
    return operations * launch * 1e3 > max(limit, latency / 2)


def _number(row: Mapping[str, Any], name: str) -> float | None:
    """Return a value of the row; None also if it is NaN."""
    value = row.get(name)
    return None if value is None or value != value else value


def describe(ceilings: Mapping[str, Any]) -> str:
    """Return all known sets of peak rates as lines of text."""
    if not ceilings:
        return "peak rates      unknown: measure them with --measure"
    return "\n".join(line for key in sorted(ceilings) for line in _lines(key, ceilings[key]))


def _lines(key: str, peaks: Mapping[str, Any]) -> list[str]:
    rates = {f"{dtype} products": rate for dtype, rate in peaks["linear"].items()} | {"transforms": peaks["fft"]}
    lines = [f"peak rates of {key}, measured in {peaks['seconds']:.0f} s"]
    lines += [f"  {name:21} {rate / 1e9:9.4g} GFLOP/s" for name, rate in rates.items() if rate]
    lines += [f"  {'operation launch':21} {peaks['launch_s'] * 1e6:9.3g} us"] if peaks["launch_s"] else []
    for state, table in peaks["copy"].items():
        lines += [f"  copy, {state}, {size / 1024:9,.0f} KiB {rate / 1e9:9.4g} GB/s" for size, rate in table]
    return lines + [f"  {probe} failed: {reason}" for probe, reason in peaks["failed"].items()]
