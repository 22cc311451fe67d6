"""Roofline: how near a cell comes to what its machine can do. Pure functions of a row and of ceilings that were measured before.

A call moves at least `bytes_min` bytes and executes `flops` operations. At the best rates that `ceilings` saw on the machine the
first takes some time and the second takes some time; the longer of the two is `limit_ms`.

What `pct_of_limit` means: the share of the cell's latency that its own algorithm's arithmetic and compulsory traffic would need at
those rates. What it does not mean: a share of what is possible for the method, for another algorithm may need fewer operations
(a Fourier form beside a direct one), nor a utilisation of the chip, for the rates are those of large regular work and not peak
rates of a data sheet. A low value says that time goes elsewhere: to intermediate maps that are written and read again, to small or
odd sizes, to what a library does around its loops. A value above 100 is possible and says that a ceiling is wrong for this cell: it
was measured while the machine was busy, or the cell runs from a nearer cache than a copy of as many bytes does, or the library
leaves out operations that were counted. `bound` names the limit that is nearest; how near, only `pct_of_limit` says.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from bench.system.ceilings import where

COLUMNS = ("bytes_min", "limit_ms", "pct_of_limit", "bound")
FLOAT = 4  # bytes of a float32; the input, the parameters and every gradient are that, also under autocast
OUTPUT = {"fp32": 4, "bf16": 2}  # bytes of an output element: under bfloat16 autocast two at least


def columns(row: Mapping[str, Any], ceilings: Mapping[str, Any]) -> dict[str, float | str | None]:
    """The columns of one row of the tidy table, from the ceilings of its environment; null where something needed is missing."""
    here = ceilings.get(where(row["device"], row["threads"]), {})
    moved, latency = bytes_min(row), _number(row, "latency_ms")
    times = {"memory": memory_seconds(row, moved, here), "compute": compute_seconds(row, here)}
    known = [seconds for seconds in times.values() if seconds is not None]
    limit = max(known) * 1e3 if len(known) == len(times) else None
    share = 100 * limit / latency if limit is not None and latency else None
    slower = max(times, key=lambda name: times[name] or 0.0)
    return dict(zip(COLUMNS, (moved, limit, share, _bound(row, here, slower, limit, latency))))


def bytes_min(row: Mapping[str, Any]) -> float | None:
    """Compulsory traffic of one call: every array that goes in or comes out once, what lies between not at all.

    Inference: the input read, the output written, the weights read (`weights_bytes`: the frozen kernel in place of what it is made
    from). Training besides: the output's gradient read, the gradients of the input and of every trainable parameter written.
    """
    weights, parameters = _number(row, "weights_bytes"), _number(row, "params_count")
    if row.get("level", "op") != "op" or weights is None or parameters is None:
        return None
    elements = math.prod(int(row[axis]) for axis in ("batch", "channels", "height", "width"))
    forward = elements * (FLOAT + OUTPUT[row["dtype"]]) + weights
    return forward + (FLOAT * (2 * elements + parameters) if row["mode"] == "train" else 0)


def memory_seconds(row: Mapping[str, Any], moved: float | None, here: Mapping[str, Any]) -> float | None:
    """Seconds that the compulsory traffic takes as a copy of as many bytes; from cold caches where the cell was timed so."""
    rate = copy_rate(row, moved, here)
    return moved / rate if moved and rate else None


def copy_rate(row: Mapping[str, Any], moved: float | None, here: Mapping[str, Any]) -> float | None:
    """Bytes a second of a copy of `moved` bytes, from caches as the row's timer leaves them: the sloping roof over the row."""
    table = here.get("copy", {}).get("cold" if row.get("timer") == "cold" else "hot")
    return bandwidth(table, moved) if table and moved else None


def rates(here: Mapping[str, Any], dtype: str) -> dict[str, float]:
    """Operations a second of products and of transforms, as far as known: the level roofs."""
    found = {"products": here.get("linear", {}).get(dtype), "transforms": here.get("fft")}
    return {name: rate for name, rate in found.items() if rate}


def operations(row: Mapping[str, Any]) -> float | None:
    """The operations of a call that its machine has to do.

    A call without transforms is a direct one, and its taps that lie in the zero padding need not be multiplied: `flops_eff` counts.
    """
    fourier = _number(row, "flops_fft")
    return None if fourier is None else _number(row, "flops" if fourier else "flops_eff")


def bandwidth(table: Sequence[Sequence[float]], size: float) -> float:
    """Bytes a second at a working set of `size` bytes: between two measured sizes a line on logarithmic axes, beyond them flat.

    `table` holds [bytes, bytes a second] by rising bytes.
    """
    index = bisect_left(table, size, key=lambda point: point[0])
    if index in (0, len(table)):
        return table[min(index, len(table) - 1)][1]
    (below, slow), (above, fast) = table[index - 1], table[index]
    return slow * (fast / slow) ** (math.log(size / below) / math.log(above / below))


def compute_seconds(row: Mapping[str, Any], here: Mapping[str, Any]) -> float | None:
    """Seconds of the operations: transforms at the best rate of a transform, always in float32, all others at that of a product."""
    flops, fourier = operations(row), _number(row, "flops_fft")
    best = rates(here, row["dtype"])
    if flops is None or fourier is None or len(best) < 2:
        return None
    return (flops - fourier) / best["products"] + fourier / best["transforms"]


def _bound(row: Mapping[str, Any], here: Mapping[str, Any], slower: str, limit: float | None, latency: float | None) -> str | None:
    """What a cell waits for: launch, or else the slower of memory and compute; None where that is not known."""
    if limit is None or not latency:
        return None
    launches = _launches(row, here, limit, latency)
    return None if launches is None else "launch" if launches else slower


def _launches(row: Mapping[str, Any], here: Mapping[str, Any], limit: float, latency: float) -> bool | None:
    """Whether starting operators takes most of the time: as seen where the clock saw it, else by their number.

    The timers of a GPU that leave launching out of a figure leave none in it to wait for.
    """
    if row.get("timer") in ("cold", "hot", "graph"):
        return False
    seen, operators, each = _number(row, "launch_bound"), _number(row, "op_count"), here.get("launch_s")
    if seen is not None:
        return seen > 0
    if operators is None or not each:
        return None
    return operators * each * 1e3 > max(limit, latency / 2)


def _number(row: Mapping[str, Any], name: str) -> float | None:
    """A value of the row; None also where a table holds NaN for it."""
    value = row.get(name)
    return None if value is None or value != value else value


def describe(ceilings: Mapping[str, Any]) -> str:
    """Every known set of ceilings as lines of text."""
    if not ceilings:
        return "ceilings        not known: measure them with --measure"
    return "\n".join(line for key in sorted(ceilings) for line in _lines(key, ceilings[key]))


def _lines(key: str, here: Mapping[str, Any]) -> list[str]:
    rates = {f"{dtype} products": rate for dtype, rate in here["linear"].items()} | {"transforms": here["fft"]}
    found = [f"ceilings of {key}, measured in {here['seconds']:.0f} s"]
    found += [f"  {name:21} {rate / 1e9:9.4g} GFLOP/s" for name, rate in rates.items() if rate]
    found += [f"  {'start of an operator':21} {here['launch_s'] * 1e6:9.3g} us"] if here["launch_s"] else []
    for state, table in here["copy"].items():
        found += [f"  copy, {state}, {size / 1024:9,.0f} KiB {rate / 1e9:9.4g} GB/s" for size, rate in table]
    return found + [f"  {probe} failed: {reason}" for probe, reason in here["failed"].items()]
