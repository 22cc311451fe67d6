"""The best rates of each machine as level lines of a roofline; the sloping ones are those of the rows that a chart shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.journal import Journal
from bench.report.text import short
from bench.tables import roofline


def roofs(journals: Sequence[Journal]) -> list[dict[str, Any]]:
    """Of every run, environment, device with its threads, and dtype whose ceilings are known: `rate` in GFLOP/s, and `name`."""
    return [
        {
            **{"run": journal.name, "env": env["id"], "where": where, "dtype": dtype},
            **{"rate": rate / 1e9, "name": f"{name}, {short(rate / 1e9)} GFLOP/s"},
        }
        for journal in journals
        for env in journal.envs.values()
        for where, here in env.get("ceilings", {}).items()
        for dtype in roofline.OUTPUT
        for name, rate in roofline.rates(here, dtype).items()
    ]
