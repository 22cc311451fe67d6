"""Reading a data set by several processes."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset


def read(part: Dataset[Any], processes: int, **options: Any) -> Iterator[Any]:
    """Batches of a `DataLoader`, by so many processes, or by this one alone if 0.

    They are forked from this process: they need no import of torch, and they see it end, as children of a server would not.
    """
    fork = "fork" if processes and "fork" in multiprocessing.get_all_start_methods() else None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)  # readers use one thread
        return iter(DataLoader(part, num_workers=processes, multiprocessing_context=fork, **options))
