"""Table of the HTML page in a browser: sorting, filters and columns."""

import pytest

from tests.report.page.helpers import EVIL, ONE, column, press, renderings, settled

pytestmark = pytest.mark.ui


def test_fastest_are_first_and_failures_last(visit):
    tab = visit(ONE)
    assert column(tab, "label") == ["dwconv3", "dwconv7", EVIL, "niff", "afno", "huge", "slow"]
    assert column(tab, "latency_ms") == ["0.100±2.0%", "0.200±2.0%", "0.400±2.0%", "0.600±2.0%", "1.00±2.0%", "oom", "skipped"]
    assert column(tab, "status")[-2:] == ["oom latency: oom: 1 TiB wanted <b>", "skipped latency: skipped: predicted 130 s"]
    assert tab.inner_text("#count") == "7 of 45 cells, 2 with failures, lowest latency first"
    assert "Not shown" not in tab.inner_text("#caption")


def test_column_title_sorts_in_both_directions_with_missing_values_last(visit):
    tab = visit(ONE)
    press(tab, "params_count")
    assert column(tab, "params_count") == ["640", "760", "2,304", "3,200", "9,999", "", ""]
    assert tab.get_attribute("th[data-name=params_count]", "aria-sort") == "ascending"
    press(tab, "params_count")
    assert column(tab, "params_count") == ["9,999", "3,200", "2,304", "760", "640", "", ""]
    assert tab.get_attribute("th[data-name=params_count]", "aria-sort") == "descending"
    assert tab.locator("[aria-sort]").count() == 1
    press(tab, "speedup")  # higher is better: sorts descending first
    assert column(tab, "label")[:5] == ["dwconv3", "dwconv7", EVIL, "niff", "afno"]


def test_equal_rows_keep_their_order(visit):
    tab = visit("#res=16&columns=label&columns=channels&columns=params_count&sort=params_count")
    assert column(tab, "channels")[:6] == ["16", "32"] * 3


@pytest.mark.parametrize("key", ["Enter", " "])
def test_keyboard_sorts_and_keeps_the_focus(visit, key):
    tab = visit(ONE)
    tab.focus("th[data-name=label] button")
    tab.keyboard.press(key)
    settled(tab)
    assert column(tab, "label") == [EVIL, "afno", "dwconv3", "dwconv7", "huge", "niff", "slow"]
    assert tab.evaluate("document.activeElement.parentElement.dataset.name") == "label"


def test_filters_apply_to_table_and_chart(visit):
    tab = visit("#channels=16")
    tab.click("#filter-series summary")
    tab.get_by_role("checkbox", name="niff", exact=True).check()
    tab.get_by_role("checkbox", name="afno", exact=True).check()
    tab.keyboard.press("Escape")
    settled(tab)
    assert set(column(tab, "label")) == {"niff", "afno"}
    assert tab.inner_text("#filter-series summary") == "Method: niff, afno"
    assert tab.locator("#filter-series").get_attribute("open") is None
    assert tab.locator("#legend button").all_text_contents() == ["afno ~ n^2.00 ±0.00", "niff ~ n^2.00 ±0.00"]
    assert tab.locator("#chart path[aria-label^=niff]").count() == 3
    assert tab.locator("#chart path[aria-label^=dwconv]").count() == 0


def test_search_covers_names_and_reasons_and_renders_once_per_pause(visit):
    tab = visit(ONE)
    renderings(tab)
    tab.evaluate(TYPE, ["1", "13", "130 S"])
    tab.wait_for_selector("tbody tr:only-child")
    assert column(tab, "label") == ["slow"]
    assert tab.evaluate("window.renderings") == 1


TYPE = """(texts) => texts.forEach((text) => {
    const search = document.querySelector("#search");
    search.value = text;
    search.dispatchEvent(new Event("input"));
})"""


def test_status_is_a_filter(visit):
    tab = visit("#status=oom")
    assert column(tab, "label") == ["huge"]
    assert tab.inner_text("#filter-status summary") == "Status: oom"


def test_columns_are_selectable(visit):
    tab = visit(ONE)
    tab.click("#columns summary")
    tab.get_by_role("checkbox", name="latency hi, ms", exact=True).check()
    settled(tab)
    assert column(tab, "latency_hi_ms")[0] == "0.102"
    tab.get_by_role("checkbox", name="params", exact=True).uncheck()
    settled(tab)
    assert tab.locator("th[data-name=params_count]").count() == 0
    assert "upper end of the 95% confidence interval" in tab.get_attribute("th[data-name=latency_hi_ms] button", "title")
