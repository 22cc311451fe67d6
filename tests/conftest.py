"""Fixtures of all tests: the official reference vectors, and one thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

torch.set_num_threads(1)
Vectors = dict[str, np.ndarray]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests that need a GPU if there is none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not torch.cuda.is_available():
        config.hook.pytest_deselected(items=marked)
        items[:] = [item for item in items if item not in marked]


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], Vectors]:
    """Read a file of official reference vectors from the folder LKB_REFERENCE. Skip the test if it is missing."""
    folder = os.environ.get("LKB_REFERENCE")

    def read(name: str) -> Vectors:
        if not folder:
            pytest.skip("LKB_REFERENCE is not set: the official reference vectors are not available")
        path = Path(folder) / name
        if not path.exists():
            pytest.skip(f"no reference vectors {name}")
        with np.load(path) as archive:
            return {key: archive[key] for key in archive.files}

    return read
