"""One file a data set: `load(wish, **options)` gives its `Splits`. A set is named after its file; listing them costs no torch.

A set is asked for as NAME or NAME[option=value,...]. The test part is looked at once, after training; every choice on the way is
made on the validation part, which is split from the training data.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench import words

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    Images = Dataset[Any]  # of pairs of tensors

SEED = 0  # of every split and every generated set: never the seed of a training


class Wish(NamedTuple):
    """What a training asks of a data set; sets that cannot be augmented raise ValueError where they are asked to."""

    res: int
    augment: str = "none"
    erase: float = 0.0


class Splits(NamedTuple):
    """Pairs of an image (C, res, res), float32, standardised as the training part, and a label from 0 to classes - 1.

    In-memory sets are TensorDatasets, others map-style data sets. `floor` is the accuracy in percent that needs no look at what the
    task is about: the share of the largest class, or what a shortcut gives; `floor_of` names it.
    """

    train: Images
    validation: Images
    test: Images
    classes: int
    channels: int
    floor: float
    floor_of: str = "largest class"


Load = Callable[..., Splits]


def names() -> list[str]:
    """Every data set, by its file."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.py") if file.stem != "__init__")


def load(text: str, wish: Wish) -> Splits:
    """The splits of a data set NAME[option=value,...]; raises ValueError for an unknown name or option."""
    word = words.parse(text)
    try:
        splits: Splits = module(word.name).load(wish, **dict(word.options))
    except TypeError as error:
        if "unexpected keyword" in str(error):
            raise ValueError(f"data set '{word.name}': {str(error).partition(') ')[2] or error}") from error
        raise
    return splits


def module(name: str) -> Any:
    """The module of a data set; raises ValueError for an unknown name."""
    if name not in names():
        raise ValueError(f"unknown data set '{name}' (known: {', '.join(names())})")
    return importlib.import_module(f"bench.data.{name}")
