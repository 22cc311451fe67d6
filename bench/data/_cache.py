"""Folders for what is kept between runs, and arrays that are made once. No torch here."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]


def cache() -> Path:
    """The environment variable LKB_CACHE, else a folder in the user's cache."""
    return Path(os.environ.get("LKB_CACHE") or Path.home() / ".cache" / "large-kernel-bench")


def root() -> Path:
    """Where downloaded sets lie: the environment variable LKB_DATA, else a folder of the cache."""
    return Path(os.environ.get("LKB_DATA") or cache() / "data")


def cached(name: str, make: Callable[[], Arrays]) -> Arrays:
    """The arrays kept under a name, which stands for all that they depend on; made where there are none or they are damaged."""
    path = cache() / f"{name}.npz"
    try:
        with path.open("rb") as file, np.load(file) as archive:
            return dict(archive)
    except (OSError, ValueError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        arrays = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.stem}.{os.getpid()}.tmp.npz")
    np.savez_compressed(unfinished, **arrays)  # type: ignore[arg-type]  # its stubs take the names for options
    os.replace(unfinished, path)
    return arrays
