"""The best rates of each machine as lines of a roofline: GFLOP/s over operations a byte."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.store import Journal

GIGA = 1e9


def roofs(journals: Sequence[Journal]) -> list[dict[str, Any]]:
    """Of every run, environment, device and number of threads whose ceilings are known: flat ones with `rate` in GFLOP/s, slanted
    ones with `bandwidth` in GB/s; `dtype` is empty where a roof stands over all of them.
    """
    return [
        {"run": journal.name, "env": env["id"], "where": where, **roof}
        for journal in journals
        for env in journal.envs.values()
        for where, here in env.get("ceilings", {}).items()
        for roof in of_device(here)
    ]


def of_device(here: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Products by dtype, transforms, and copies: the fastest and that of the largest working set."""
    for dtype, rate in here["linear"].items():
        if rate:
            yield {"dtype": dtype, "rate": rate / GIGA, "name": f"{dtype} products, {rate / GIGA:.3g} GFLOP/s"}
    if here["fft"]:
        yield {"dtype": "", "rate": here["fft"] / GIGA, "name": f"transforms, {here['fft'] / GIGA:.3g} GFLOP/s"}
    for state, table in here["copy"].items():
        fastest, largest = max(table, key=lambda one: one[1]), table[-1]
        for size, rate in [fastest] if fastest == largest else [fastest, largest]:
            yield {"dtype": "", "bandwidth": rate / GIGA, "name": f"{state} copy of {human(size)}, {rate / GIGA:.3g} GB/s"}


def human(size: float) -> str:
    return f"{size / 2**20:.0f} MiB" if size >= 2**20 else f"{size / 2**10:.0f} KiB"
