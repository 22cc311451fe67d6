"""Read a data set with several processes."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset


def read(dataset: Dataset[Any], processes: int, **options: Any) -> Iterator[Any]:
    """Return the batches of a `DataLoader` with this number of processes, or of this process alone if 0.

    They are forked from this process, so that they need not import torch and end with it. Children of a server would not.
    """
    fork = "fork" if processes and "fork" in multiprocessing.get_all_start_methods() else None
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", ".*multi-threaded, use of fork", DeprecationWarning
        )  # the reader processes use one thread
        return iter(DataLoader(dataset, num_workers=processes, multiprocessing_context=fork, **options))
