"""Peak rates of each machine as horizontal roofs of the roofline chart; the page derives the sloped roofs from its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.journal import Journal
from bench.report.text import short
from bench.tables import roofline


def roofs(journals: Sequence[Journal]) -> list[dict[str, Any]]:
    """Return `rate` in GFLOP/s and `name` of each roof, for every run, environment, device and dtype with known peak rates."""
    return [
        {
            **{"run": journal.name, "env": env["id"], "where": where, "dtype": dtype},
            **{"rate": rate / 1e9, "name": f"{name}, {short(rate / 1e9)} GFLOP/s"},
        }
        for journal in journals
        for env in journal.envs.values()
        for where, peaks in env.get("ceilings", {}).items()
        for dtype in roofline.OUTPUT
        for name, rate in roofline.rates(peaks, dtype).items()
    ]
