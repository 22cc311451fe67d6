"""One file per metric: `measure(workload, protocol)` is a generator that yields after each round and returns a `Measurement`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.workload.build import Measurement

Measure = Callable[..., Generator[Any, Any, "Measurement"]]


def get(name: str) -> Measure:
    """Return the `measure` function of a metric. Raises ModuleNotFoundError if it is unknown, and TypeError if it never yields."""
    module: Any = importlib.import_module(f"bench.metrics.{name}")
    if not inspect.isgeneratorfunction(module.measure):
        raise TypeError(f"`measure` of the metric {name} is not a generator: it must yield after each round")
    return module.measure
