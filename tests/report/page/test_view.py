"""The HTML page in a browser: address, colours, print, narrow windows, names, and ten thousand cells."""

import pytest

from bench.journal import JOURNAL, Journal
from bench.report.page import write
from bench.tables.cells import NAMES
from bench.tables.row import Row
from tests.report.page.helpers import ENV, EVIL, ONE, column, press, renderings, settled

pytestmark = pytest.mark.ui


def test_names_are_escaped_everywhere(visit):
    tab = visit(ONE.replace("res=16&", ""))
    tab.locator("#chart path[aria-label^='<img'][aria-label*='32 px']").hover()
    tab.locator("#tip").wait_for()
    assert tab.locator("#tip strong").inner_text() == EVIL
    tab.click("#filter-series summary")
    tab.get_by_role("checkbox", name=EVIL).wait_for()  # the menu is filled asynchronously
    assert tab.locator("#legend").get_by_text(EVIL).count() == 1
    for view in ("pareto", "ranks", "roofline"):
        tab.click(f"#tab-{view}")
        settled(tab)
    assert tab.locator("img").count() == 0


def test_address_stores_the_state(visit, reader):
    tab = visit(ONE)
    press(tab, "params_count")
    press(tab, "params_count")
    tab.select_option("#theme", "dark")
    tab.click("#tab-pareto")
    tab.select_option("#up", "params_count")
    tab.get_by_role("button", name="niff").click()
    settled(tab)
    again = reader("#" + tab.url.partition("#")[2])
    for selector in ("#count", "tbody", "#caption", "#notes", "#filters"):
        assert again.inner_text(selector) == tab.inner_text(selector)
    assert again.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 29)"
    assert again.get_by_role("button", name="niff").get_attribute("aria-pressed") == "true"
    assert again.input_value("#up") == "params_count"


def test_invalid_address_is_ignored(visit):
    tab = visit("#run=gone&sort=__proto__&columns=label&columns=constructor&tab=nothing&y=toString&page=99&res=%3Cb%3E")
    assert tab.locator("thead th").count() == 1
    assert tab.inner_text("#count") == (
        "0 of 45 cells, 0 with failures, lowest latency first; 2 selected filter values do not exist on this page"
    )


def test_unknown_run_does_not_select_all_runs(visit):
    tab = visit("#run=gone&run=accuracies")
    assert tab.locator("tbody tr").count() == 4
    assert tab.inner_text("#count").endswith("; 1 selected filter value does not exist on this page")
    assert "gone" in tab.inner_text("#filter-run summary")


def test_link_is_copied_or_shown(visit):
    tab = visit(ONE)
    tab.click("#copy")
    tab.wait_for_selector("#copied:not(:empty)")
    copied = tab.evaluate("navigator.clipboard?.readText().catch(() => null)") or tab.input_value("#link")
    assert copied == tab.url


def test_theme_is_selected_or_follows_the_system(reader):
    tab = reader("#channels=16")
    ground = "getComputedStyle(document.body).backgroundColor"
    mark = "getComputedStyle(document.querySelector('#chart path[aria-label^=dwconv3]')).fill"
    light = tab.evaluate(ground), tab.evaluate(mark)
    tab.emulate_media(color_scheme="dark")
    dark = tab.evaluate(ground), tab.evaluate(mark)
    tab.select_option("#theme", "light")
    settled(tab)
    assert (tab.evaluate(ground), tab.evaluate(mark)) == light
    assert light[0] == "rgb(255, 255, 255)" and dark[0] == "rgb(21, 24, 29)"
    assert light[1] != dark[1]


def test_print_has_all_rows_and_no_controls(reader):
    tab = reader("#size=25&theme=dark")
    assert tab.locator("tbody tr").count() == 25
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.locator("tbody tr").count() == 32
    assert not any(control.is_visible() for control in tab.locator(".controls").all())
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.locator("tbody tr").count() == 25


@pytest.mark.parametrize("width", [400, 800])
def test_nothing_overflows_the_window(reader, width):
    tab = reader(width=width)
    assert tab.locator("#chart svg").bounding_box()["width"] <= width
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_arrow_keys_select_tabs(visit):
    tab = visit()
    tab.focus("#tab-res")
    tab.keyboard.press("ArrowLeft")
    settled(tab)
    assert tab.get_attribute("#tab-ranks", "aria-selected") == "true"
    assert tab.evaluate("document.activeElement.id") == "tab-ranks"


def test_every_control_has_a_name(visit):
    tab = visit()
    nameless = (
        """all => all.filter((node) => !(node.textContent.trim() || node.ariaLabel || node.labels?.length || node.title)).length"""
    )
    assert tab.eval_on_selector_all("button, input, select, summary, [role=region]", nameless) == 0
    assert tab.get_attribute("#count", "role") == "status"
    assert "The table has the same values" in tab.get_attribute("#chart svg", "aria-label")


MANY = 10_000


def crowd():
    """Return the rows of one run: 100 methods at 100 resolutions, every 100th cell failed."""
    rows = []
    for number in range(MANY):
        method, side = f"m{number % 100:02}", 8 + number // 100
        row = dict.fromkeys(NAMES) | {"method": method, "label": method, "params": "{}", "env": "e1"}
        row |= {"height": side, "width": side, "channels": 64, "batch": 1, "dtype": "fp32", "device": "cpu", "mode": "infer"}
        row |= {"level": "op", "network": "", "threads": 1, "seed": 0, "timer": "wall"}
        row |= {"latency_status": "ok", "latency_ms": (number * 7919) % MANY + 1.0}
        row |= {"latency_status": "timeout", "latency_ms": None} if number % 100 == 99 else {}
        rows.append(Row(row, method))
    return rows


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crowd")
    many = Journal(folder / "many" / JOURNAL, envs={"e1": ENV}, runs=[{"command": "c", "started": 1.0}])
    return write([many], [crowd()], folder / "index.html")


def test_ten_thousand_cells_are_paged_with_one_rendering_per_change(reader, crowded):
    tab = reader(file=crowded)
    renderings(tab)
    assert tab.inner_text("#count") == "10,000 cells, 100 with failures, lowest latency first"
    assert column(tab, "latency_ms")[:3] == ["1.00", "2.00", "3.00"]
    press(tab, "latency_ms")
    assert column(tab, "latency_ms")[:2] == ["10,000", "9,999"]
    assert tab.evaluate("window.renderings") == 1
    tab.click("#next")
    settled(tab)
    assert (tab.inner_text("#page"), tab.evaluate("window.renderings")) == ("page 2 of 100", 2)
    assert tab.locator("tbody tr").count() == 100
    assert tab.locator("#chart svg").count() == 0 and "too many to draw" in tab.inner_text("#caption")
    tab.fill("#search", "m07")
    tab.wait_for_selector("#chart svg")
    assert tab.inner_text("#count") == "100 of 10,000 cells, 0 with failures, highest latency first"
    assert tab.evaluate("window.renderings") == 3
    assert tab.evaluate("document.querySelectorAll('*').length") < 5000
    assert crowded.stat().st_size < 2e6
