"""A folder for data sets of its own for every test."""

import pytest


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("LKB_DATA", str(tmp_path / "data"))
    return tmp_path / "data"
