"""Content of the HTML page, without a browser."""

import json
import sys

import pandas as pd
import pytest

from bench.columns import COLUMNS
from bench.journal import JOURNAL, Writer, read_journal
from bench.report import style
from bench.report.page import baselines, charts, choices, colours, data, html, library, policy, write
from bench.report.style import MARKERS
from bench.spec import Cell, Job, Protocol, Record
from bench.tables.cells import complete_rows, tidy
from tests.report.page.helpers import ENV, NO_POWER_LAW, WHERE, journal, timed


def test_no_text_ends_the_script_element():
    text = data.island({"</script><!--": "a & b \u2028\u2029 <b>"})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"</script><!--": "a & b \u2028\u2029 <b>"}


def test_island_rejects_nan():
    with pytest.raises(ValueError, match="JSON"):
        data.island([float("nan")])


def test_every_column_has_unit_direction_and_meaning(journals):
    table = data.table(data.collect(journals, list(map(complete_rows, journals))))
    shown = {column["name"]: column for column in table["columns"]}
    assert set(shown) == set(table["values"])
    for column in COLUMNS:
        assert shown[column.name]["meaning"] == column.meaning
        assert shown[column.name]["better"] == column.better
        assert shown[column.name]["unit"] == {"FLOP": "GFLOP", "B": "MB", "name": ""}.get(column.unit, column.unit)


def test_values_equal_the_tidy_table_with_null_for_missing(journals):
    table = tidy(journals[0])
    values = data.collect(journals[:1], [complete_rows(journals[0])])
    assert values["latency_ms"] == [None if pd.isna(ms) else pytest.approx(ms, rel=1e-4) for ms in table["latency_ms"]]
    assert values["flops"] == [None if pd.isna(flops) else pytest.approx(flops / 1e9, rel=1e-4) for flops in table["flops"]]
    assert set(values["energy_j"]) == {None}
    assert values["gflop_per_s"][0] == pytest.approx(table["flops_eff"][0] / table["latency_ms"][0] / 1e6, rel=1e-4)


def test_rates_of_the_roofline_equal_pct_of_limit(journals):
    """For compute-bound cells, the rate relative to the roof equals pct_of_limit."""
    values = data.collect(journals[:1], [complete_rows(journals[0])])
    rows = zip(values["gflop_per_s"], values["pct_of_limit"], values["limit_ms"], values["bytes_min"], values["copy_gb_per_s"])
    bound = [(rate, share) for rate, share, limit, moved, copy in rows if copy and limit > 1.001 * moved / copy]
    assert bound
    assert all(rate / 200 == pytest.approx(share / 100, rel=1e-3) for rate, share in bound)


def test_environments_and_levels_are_filters_if_there_are_several(tmp_path):
    network = Cell("dwconv7", 32, 32, level="model", network="mixer")
    other = Record(Job(network, "params", Protocol(), "c"), "ok", "", {"params_count": 1}, **WHERE | {"env": "e2"})
    path = tmp_path / "two" / JOURNAL
    journal(path, [timed("dwconv7", 1.0, height=32, width=32), other])
    with Writer(path) as writer:
        writer.env(ENV | {"id": "e2"})
        writer.run({"command": "c", "started": 1.9e9, "baseline": "resnet", "level": "model"})
    two = read_journal(path)
    offered = choices.choices([two], data.collect([two], [complete_rows(two)]))
    assert {"env", "level"} <= set(offered["filters"])
    assert {"env", "level"} <= set(offered["opened"]["columns"])
    assert baselines(two) == "dwconv7 (operators), resnet (networks)"


def test_baseline_of_one_level(journals):
    assert baselines(journals[0]) == "dwconv7"


def test_failure_has_status_and_reason(journals):
    values = data.collect(journals[:1], [complete_rows(journals[0])])
    at = values["label"].index("huge")
    assert (values["status"][at], values["reason"][at], values["latency_ms"][at]) == ("oom", "latency: oom: 1 TiB wanted <b>", None)


@pytest.mark.parametrize("column", [[1, 1, 1], [1.5, 2.5, None], ["a", "b", "a", "a", None], [], [None, None]])
def test_columns_are_packed_without_loss(column):
    packed = data.packed(column)
    plain = packed.get("plain") or [packed["levels"][code] for code in packed.get("codes", [0] * len(column))]
    assert plain == column


@pytest.mark.parametrize(("number", "rounded"), [(1234567.0, 1234567), (0.123456789, 0.12346), (123456.78, 123457), (2.0, 2)])
def test_values_have_five_digits_and_all_before_the_point(number, rounded):
    assert data.scaled(number, "ms") == rounded


def test_kernel_sizes_of_a_method_are_one_series(journals):
    values = data.collect([journals[1]], [complete_rows(journals[1])])
    assert set(values["series"]) == {"dwconv_direct", "dwconv_fft", "niff"}
    assert {f"niff[kernel={kernel}]" for kernel in NO_POWER_LAW} <= set(values["label"])


def test_every_label_and_series_has_the_colour_of_its_method(journals):
    styles = colours.styles(data.collect([journals[1]], [complete_rows(journals[1])]))
    assert len(styles) == 3 * len(NO_POWER_LAW) + 3
    assert styles["niff"]["colour"] == styles["niff[kernel=5]"]["colour"] == style.FAMILIES["niff"]


def test_initial_run_is_the_one_that_timed_most_methods(journals):
    values = data.collect(journals, list(map(complete_rows, journals)))
    opened = choices.choices(journals, values)["opened"]
    assert opened["run"] == ["operators"]
    assert opened["columns"][:4] == ["label", "run", "res", "channels"]
    assert (opened["across"], opened["up"]) == ("latency_ms", "accuracy")


def test_page_without_runs():
    assert "Large-kernel bench" in html([], [])


@pytest.mark.parametrize("colour", ["#002b6e", "#180807", "#ff5804", "#ffffff"])
def test_colours_have_contrast_on_dark_background(colour):
    lighter = colours.channels(colours.lightened(colour))
    assert colours.contrast(lighter, colours.channels(colours.DARK)) >= 4.45  # rounded to whole values


def test_contrast_equals_wcag():
    assert colours.contrast([0, 0, 0], [255, 255, 255]) == pytest.approx(21)
    assert colours.contrast([119, 119, 119], [255, 255, 255]) == pytest.approx(4.48, abs=0.01)


def test_every_marker_has_a_distinct_path():
    assert set(MARKERS) <= set(colours.PATHS)
    assert len(set(colours.PATHS.values())) == len(colours.PATHS)


def test_policy_allows_only_known_scripts():
    allowed = policy(["a"])
    assert "default-src 'none'" in allowed and "'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='" in allowed
    assert "unsafe-eval" not in allowed and "script-src 'unsafe" not in allowed


def test_every_chart_has_a_specification():
    assert set(charts.specs()) == {"scaling", "roofline", "pareto", "ranks"}
    assert all(
        "data" not in layer for spec in charts.specs().values() for layer in spec["spec"]["layer"]
    )  # layers use the data of the facet


def test_hand_written_page_is_not_replaced(tmp_path):
    (tmp_path / "index.html").write_text("by hand")
    with pytest.raises(ValueError, match="not generated"):
        write([], [], tmp_path / "index.html")


def test_missing_libraries_are_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(ValueError, match="pip install"):
        library.__wrapped__()
