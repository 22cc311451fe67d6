"""One file per metric: `measure(workload, protocol)` is a generator that yields after each round and returns a `Measurement`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.workload.build import Measurement

Measure = Callable[..., Generator[Any, Any, "Measurement"]]


def get(name: str) -> Measure:
    """Return the `measure` function of a metric. Raises ModuleNotFoundError if the metric is unknown."""
    module: Any = importlib.import_module(f"bench.metrics.{name}")
    return module.measure
