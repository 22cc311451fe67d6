"""One file a metric: `measure(workload, protocol)` is a generator that yields after each round and returns an `Measurement`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.workload.build import Measurement

Measure = Callable[..., Generator[Any, Any, "Measurement"]]


def get(name: str) -> Measure:
    """The `measure` of a metric; raises ModuleNotFoundError."""
    module: Any = importlib.import_module(f"bench.metrics.{name}")
    return module.measure
