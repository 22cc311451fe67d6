"""The cross-check of multiply-adds with fvcore, which is optional at run time."""

import sys

import pytest

from bench.metrics import _fvcore
from bench.spec import Cell
from bench.workload.build import Workload

MACS = 7 * 7 * 8 * 12 * 12


def sentence(method="dwconv7", **options):
    return _fvcore.compare(Workload(Cell(method, 12, 12, 8, **options)))


def test_equal_counts():
    assert sentence() == f"{MACS:,} multiply-adds, as counted by fvcore ({MACS:,})"


def test_different_counts_show_both(monkeypatch):
    monkeypatch.setattr(_fvcore, "PRODUCTS", ())
    assert sentence() == f"{MACS:,} multiply-adds, not as counted by fvcore (0)"


def test_without_fvcore(monkeypatch):
    monkeypatch.setitem(sys.modules, "fvcore.nn", None)
    assert sentence() == f"{MACS:,} multiply-adds; fvcore is not installed"


@pytest.mark.parametrize(("method", "reason"), [("afno", "fvcore cannot trace the method"), ("dwconv", "not counted: ")])
def test_what_cannot_be_counted_says_so(method, reason):
    assert reason in sentence(method)
