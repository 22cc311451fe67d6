"""Digests of sources: an edit in any package that values depend on changes them."""

import shutil

import pytest

import methods
from bench.runner import sources
from tests.paths import ROOT

KNOWN = {entry.name: entry for entry in methods.catalogue()}


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """Let the digests read a copy of the sources."""
    for package in ("bench", "methods"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sources, "BENCH", tmp_path / "bench")
    monkeypatch.setattr(methods, "__file__", str(tmp_path / "methods" / "__init__.py"))
    return tmp_path


@pytest.mark.parametrize(
    "edited", ["methods/niff.py", "methods/parts/spectral.py", *(f"bench/{name}" for name in sources.MEASURING)]
)
def test_an_edit_changes_the_digest(edited, copy):
    before = sources.source_digests(KNOWN, {})["niff"]
    path = copy / edited
    file = path if path.suffix else sorted(path.rglob("*.py"))[-1]
    file.write_text(file.read_text() + "\nEDITED = True\n")
    assert sources.source_digests(KNOWN, {})["niff"] != before


def test_an_edit_of_a_report_changes_no_digest(copy):
    before = sources.source_digests(KNOWN, {})
    (copy / "bench" / "report" / "text.py").write_text("")
    assert sources.source_digests(KNOWN, {}) == before


def test_a_package_without_sources_is_an_error(copy):
    shutil.rmtree(copy / "bench" / "timers")
    with pytest.raises(ValueError, match="timers holds no sources"):
        sources.source_digests(KNOWN, {})
