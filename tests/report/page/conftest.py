"""The runs and the page that all tests of the page read, and a browser for each of their modules. Loaded as a plugin of pytest."""

import pytest

from bench import journal as store
from bench.report.page import write
from bench.tables.cells import tidy
from tests.report.page.helpers import CHROMIUM, FOLLOW, RUNS, Reader, journal, settled


@pytest.fixture(scope="session")
def journals(tmp_path_factory):
    return [journal(tmp_path_factory.mktemp("results") / name / store.NAME, records()) for name, records in RUNS.items()]


@pytest.fixture(scope="session")
def file(journals, tmp_path_factory):
    return write(journals, list(map(tidy, journals)), tmp_path_factory.mktemp("page") / "index.html")


@pytest.fixture(scope="module")
def chromium():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no chromium")
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def reader(chromium, file):
    """For a page of its own."""
    readers = []

    def made(*hash, file=file, **options):
        readers.append(Reader(chromium, file, **options))
        return readers[-1].open(*hash)

    yield made
    for one in readers:
        one.close()


@pytest.fixture(scope="module")
def shared(chromium, file):
    """One page for all tests that begin by an address: as one follows link after link."""
    one = Reader(chromium, file)
    one.open()
    yield one
    one.close()


@pytest.fixture
def visit(shared):
    def opened(hash="#"):
        shared.tab.keyboard.press("Escape")
        shared.tab.evaluate(FOLLOW, hash)
        settled(shared.tab)
        return shared.tab

    yield opened
    assert shared.said == []
