"""Charts of the HTML page in a browser."""

import pytest

from bench.report.figures import fit, roofline
from bench.stats import ranking
from bench.tables.cells import tidy
from tests.report.page.helpers import ENV, NO_POWER_LAW, ONE, settled

pytestmark = pytest.mark.ui


def test_hovering_over_a_mark_shows_its_value_and_interval(visit):
    tab = visit("#channels=16")
    tab.locator("#chart path[aria-label='niff, 32 px, 16 channels']").hover()
    tip = tab.locator("#tip")
    tip.wait_for()
    details = dict(zip(tip.locator("dt").all_inner_texts(), tip.locator("dd").all_inner_texts()))
    assert tip.locator("strong").inner_text() == "niff"
    assert details["latency"] == "2.40 ±2.0% ms"
    assert details["rounds"] == "10"
    assert details["environment"].startswith("Processor (2 cores")


def oracle(rows, across, up):
    """Return the front computed by `bench.stats.ranking`, from a cost and a gain."""
    signs = [1 if choice in ("latency_ms", "params_count") else -1 for choice in (across, up)]
    return {
        row["label"]
        for row, optimal in zip(rows, ranking.front([(signs[0] * row[across], -signs[1] * row[up]) for row in rows]))
        if optimal
    }


@pytest.mark.parametrize(
    ("across", "up"), [("latency_ms", "params_count"), ("params_count", "speedup"), ("speedup", "params_count")]
)
def test_front_is_that_of_the_selected_columns(visit, journals, across, up):
    table = tidy(journals[0]).query("height == 16 and channels == 16 and latency_status == 'ok'")
    tab = visit(f"{ONE}&tab=pareto&across=params_count&up=latency_ms")
    tab.select_option("#across", across)
    tab.select_option("#up", up)
    settled(tab)
    assert front(tab) == oracle(table.to_dict("records"), across, up)


def front(tab):
    return set(tab.inner_text("#notes li >> nth=0").partition(": ")[2].split(", "))


def test_front_is_that_of_the_filtered_rows(visit):
    tab = visit(f"{ONE}&tab=pareto&across=latency_ms&up=params_count&series=niff&series=afno&series=dwconv7")
    assert front(tab) == {"dwconv7", "niff"}


def test_trivial_accuracy_is_on_no_front(visit, journals):
    table = tidy(journals[2])
    assert front(visit("#run=accuracies&tab=pareto")) == set(table[table["pareto"] == 1]["label"]) == {"dwconv7", "niff"}


def test_crossing_of_the_two_forms_is_marked(visit):
    tab = visit("#run=kernels&tab=kernel")
    assert tab.locator("#chart svg").get_by_text("crossing: 9 to 13 px").count() == 1
    assert tab.locator("#legend button").all_inner_texts() == [
        "dwconv_direct ~ n^2.00 ±0.00",
        "dwconv_fft ~ n^0.00 ±0.00",
        f"niff ~ n^{fit.text(fit.exponent(list(NO_POWER_LAW), list(NO_POWER_LAW.values())))}",
    ]
    assert "a library leaves its fast path" in tab.inner_text("#caption")


def test_caption_explains_exponents_only_if_shown(visit):
    assert "~ n^a" in visit("#channels=16").inner_text("#caption")
    panels = visit("#")
    assert "~ n^" not in panels.inner_text("#caption") + panels.inner_text("#legend")


def test_roofs_equal_those_of_the_figures(visit, journals):
    table = tidy(journals[0])
    peaks = ENV["ceilings"]["cpu/1"]
    expected = roofline.roofs(peaks, table[table["latency_status"] == "ok"]["bytes_min"], {"timer": "wall", "dtype": "fp32"})
    assert len(expected) == 4 and "products, 200 GFLOP/s" in expected
    texts = visit("#tab=roofline").locator("#chart text").all_text_contents()
    assert set(expected) <= set(texts)


def test_tiles_name_the_fastest_methods(visit):
    tab = visit("#tab=ranks")
    assert tab.locator("#chart path[aria-label*='1 dwconv3, 2 dwconv7, 3 <img']").count() == 6


@pytest.mark.parametrize(
    ("method", "named"),
    [
        ("niff", "3 niff[kernel=5], 7 niff[kernel=9], 9 niff[kernel=13]"),  # the tied methods are not selected
        ("dwconv_fft", "3= dwconv_fft[kernel=5], 3= dwconv_fft[kernel=9], 3= dwconv_fft[kernel=13]"),
    ],
)
def test_rank_is_among_all_methods_and_ties_among_selected_ones(visit, method, named):
    tab = visit(f"#run=kernels&tab=ranks&series={method}")
    assert tab.get_attribute("#chart path[aria-label*=kernel]", "aria-label").endswith(f": {named}")
    assert "rank among all methods of the setting" in tab.inner_text("#caption")


def test_chart_without_data_has_a_message(visit):
    tab = visit("#run=accuracies&tab=channels")
    assert tab.inner_text("#caption").startswith("Nothing to draw")
    assert tab.locator("#chart svg").count() == 0


def test_failures_are_listed_below_the_chart(visit):
    notes = visit().locator("#notes").inner_text()
    assert "Not shown: huge, 16 px, 16 channels (oom)" in notes


def test_failures_have_the_varying_axes(visit):
    assert "Not shown: huge, 16 px, 16 channels, operators (oom)" in visit("#run=operators&run=kernels").inner_text("#notes")
