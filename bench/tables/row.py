"""A row of the tidy table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.stats.ratios import Timed


@dataclass
class Row:
    """A row of the tidy table: its values by column, and what comparisons need and no table shows."""

    values: dict[str, Any]
    series: str = ""  # the label without the kernel size
    timed: Timed | None = None  # the rounds of its latency
    accuracies: tuple[float, ...] = ()  # one per seed
    interleaved: bool = False  # its rounds were interleaved with those of the baseline

    def __getitem__(self, column: str) -> Any:
        return self.values[column]

    def get(self, column: str, default: Any = None) -> Any:
        return self.values.get(column, default)

    def latency(self) -> Timed:
        """Return the rounds of the latency. Raises ValueError without a latency."""
        if self.timed is None:
            raise ValueError(f"{self['label']} has no latency")
        return self.timed
