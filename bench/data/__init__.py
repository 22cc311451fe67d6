"""One file a data set: `load(res, seed)` gives its `Splits`. A set is named after its file; listing them costs no torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch.utils.data import TensorDataset

SEED = 0  # of every split and every generated set: never the seed of a training


class Splits(NamedTuple):
    """Pairs of images (N, C, res, res), float32, standardised by the training part, and labels (N,) from 0 to classes - 1."""

    train: TensorDataset
    test: TensorDataset
    classes: int


Load = Callable[[int, int], Splits]


def names() -> list[str]:
    """Every data set, by its file."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.py") if file.stem != "__init__")


def get(name: str) -> Load:
    """The `load` of a data set; raises ValueError for an unknown name."""
    if name not in names():
        raise ValueError(f"unknown data set '{name}' (known: {', '.join(names())})")
    module: Any = importlib.import_module(f"bench.data.{name}")
    return module.load
