"""Cache folders, and arrays that are computed once. Imports no torch."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]


def cache() -> Path:
    """Return the cache folder: the environment variable LKB_CACHE, else ~/.cache/large-kernel-bench."""
    return Path(os.environ.get("LKB_CACHE") or Path.home() / ".cache" / "large-kernel-bench")


def root() -> Path:
    """Return the folder of downloaded data sets: the environment variable LKB_DATA, else a folder in the cache."""
    return Path(os.environ.get("LKB_DATA") or cache() / "data")


def cached(name: str, make: Callable[[], Arrays]) -> Arrays:
    """Return the arrays cached under a name, which must identify all that they depend on.

    They are computed by `make` if there are none or the file is damaged.
    """
    path = cache() / f"{name}.npz"
    try:
        with path.open("rb") as file, np.load(file) as archive:
            return dict(archive)
    except (OSError, ValueError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        arrays = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.stem}.{os.getpid()}.tmp.npz")
    np.savez_compressed(unfinished, **arrays)  # type: ignore[arg-type]  # its type stubs mistake the arrays for options
    os.replace(unfinished, path)
    return arrays
