"""One file a metric: `measure(subject, protocol)` is a generator that yields after each round and returns an `Outcome`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.workload.build import Outcome

Measure = Callable[..., Generator[Any, Any, "Outcome"]]


def get(name: str) -> Measure:
    """The `measure` of a metric; raises ModuleNotFoundError."""
    module: Any = importlib.import_module(f"bench.metrics.{name}")
    return module.measure
