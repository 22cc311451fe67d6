"""Fixtures of the tests of the HTML page: runs, the page, and a browser per module."""

import pytest

from bench.journal import JOURNAL
from bench.report.page import write
from bench.tables.cells import complete_rows
from tests.report.page.helpers import CHROMIUM, FOLLOW, RUNS, Reader, journal, settled


@pytest.fixture(scope="session")
def journals(tmp_path_factory):
    return [journal(tmp_path_factory.mktemp("results") / name / JOURNAL, records()) for name, records in RUNS.items()]


@pytest.fixture(scope="session")
def file(journals, tmp_path_factory):
    return write(journals, list(map(complete_rows, journals)), tmp_path_factory.mktemp("page") / "index.html")


@pytest.fixture(scope="module")
def chromium():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def reader(chromium, file):
    """Return a function that opens the page in a new tab."""
    readers = []

    def opened(*hash, file=file, **options):
        readers.append(Reader(chromium, file, **options))
        return readers[-1].open(*hash)

    yield opened
    for opened_reader in readers:
        opened_reader.close()


@pytest.fixture(scope="module")
def shared(chromium, file):
    """Open one tab for all tests of a module that follow a link."""
    reader = Reader(chromium, file)
    reader.open()
    yield reader
    reader.close()


@pytest.fixture
def visit(shared):
    def opened(hash="#"):
        shared.tab.keyboard.press("Escape")
        shared.tab.evaluate(FOLLOW, hash)
        settled(shared.tab)
        return shared.tab

    yield opened
    assert shared.messages == []
