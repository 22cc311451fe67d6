"""What is written into the page, without a browser."""

import json
import sys

import pandas as pd
import pytest

from bench import journal as store
from bench.columns import COLUMNS
from bench.report.page import baselines, charts, choices, colours, data, html, library, policy, write
from bench.report.style import MARKERS
from bench.spec import Cell, Job, Protocol, Record
from bench.tables.cells import tidy
from tests.report.page.helpers import ENV, WHERE, journal, timed


def test_no_text_ends_the_island():
    text = data.island({"</script><!--": "a & b \u2028\u2029 <b>"})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"</script><!--": "a & b \u2028\u2029 <b>"}


def test_the_island_refuses_what_json_has_no_number_for():
    with pytest.raises(ValueError, match="JSON"):
        data.island([float("nan")])


def test_every_column_is_there_with_unit_direction_and_meaning(journals):
    table = data.table(data.collect(journals, [tidy(one) for one in journals]))
    shown = {column["name"]: column for column in table["columns"]}
    assert set(shown) == set(table["values"])
    for column in COLUMNS:
        assert shown[column.name]["meaning"] == column.meaning
        assert shown[column.name]["better"] == column.better
        assert shown[column.name]["unit"] == {"FLOP": "GFLOP", "B": "MB", "name": ""}.get(column.unit, column.unit)


def test_values_are_those_of_the_tidy_table_and_null_where_there_is_none(journals):
    table = tidy(journals[0])
    values = data.collect(journals[:1], [table])
    assert values["latency_ms"] == [None if pd.isna(ms) else pytest.approx(ms, rel=1e-4) for ms in table["latency_ms"]]
    assert values["flops"] == [None if pd.isna(one) else pytest.approx(one / 1e9, rel=1e-4) for one in table["flops"]]
    assert set(values["energy_j"]) == {None}
    assert values["gflop_per_s"][0] == pytest.approx(table["flops_eff"][0] / table["latency_ms"][0] / 1e6, rel=1e-4)


def test_the_roofline_counts_what_the_limit_counts(journals):
    """At the compute limit the rate is that of the roof: a share of it is the share of the limit."""
    values = data.collect(journals[:1], [tidy(journals[0])])
    rows = zip(values["gflop_per_s"], values["pct_of_limit"], values["limit_ms"], values["bytes_min"], values["copy_gb_per_s"])
    bound = [(rate, share) for rate, share, limit, moved, copy in rows if copy and limit > 1.001 * moved / copy]
    assert bound
    assert all(rate / 200 == pytest.approx(share / 100, rel=1e-3) for rate, share in bound)


def test_environments_and_levels_are_told_apart_where_several_are(tmp_path):
    network = Cell("dwconv7", 32, 32, level="model", network="mixer")
    other = Record(Job(network, "params", Protocol(), "c"), "ok", "", {"params_count": 1}, **WHERE | {"env": "e2"})
    path = tmp_path / "two" / store.NAME
    journal(path, [timed("dwconv7", 1.0, height=32, width=32), other])
    with store.Writer(path) as writer:
        writer.env(ENV | {"id": "e2"})
        writer.run({"command": "c", "started": 1.9e9, "baseline": "resnet", "level": "model"})
    two = store.read(path)
    found = choices.choices([two], data.collect([two], [tidy(two)]))
    assert {"env", "level"} <= set(found["filters"])
    assert {"env", "level"} <= set(found["opened"]["columns"])
    assert baselines(two) == "dwconv7 (operators), resnet (networks)"


def test_the_baseline_of_one_level_stands_alone(journals):
    assert baselines(journals[0]) == "dwconv7"


def test_a_failure_has_its_status_and_its_reason(journals):
    values = data.collect(journals[:1], [tidy(journals[0])])
    at = values["label"].index("huge")
    assert (values["status"][at], values["reason"][at], values["latency_ms"][at]) == ("oom", "latency: oom: 1 TiB wanted <b>", None)


@pytest.mark.parametrize("column", [[1, 1, 1], [1.5, 2.5, None], ["a", "b", "a", "a", None], [], [None, None]])
def test_columns_are_packed_without_loss(column):
    packed = data.packed(column)
    plain = packed.get("plain") or [packed["levels"][code] for code in packed.get("codes", [0] * len(column))]
    assert plain == column


@pytest.mark.parametrize(("number", "rounded"), [(1234567.0, 1234567), (0.123456789, 0.12346), (123456.78, 123457), (2.0, 2)])
def test_figures_keep_five_digits_and_all_before_the_point(number, rounded):
    assert data.scaled(number, "ms") == rounded


def test_labels_lose_their_kernel_size_alone():
    assert data.without("a[b=1,kernel=7]", "kernel=7") == "a[b=1]"
    assert data.without("a[kernel=7] (again)", "kernel=7") == "a (again)"
    assert data.without("a[b=1]", "") == "a[b=1]"


def test_it_opens_with_the_run_that_timed_most_methods(journals):
    values = data.collect(journals, [tidy(one) for one in journals])
    opened = choices.choices(journals, values)["opened"]
    assert opened["run"] == ["operators"]
    assert opened["columns"][:4] == ["label", "run", "res", "channels"]
    assert (opened["across"], opened["up"]) == ("latency_ms", "accuracy")


def test_without_a_run_there_is_still_a_page():
    assert "Large-kernel bench" in html([], [])


@pytest.mark.parametrize("colour", ["#002b6e", "#180807", "#ff5804", "#ffffff"])
def test_colours_stand_out_on_dark_ground(colour):
    lighter = colours.channels(colours.lightened(colour))
    assert colours.contrast(lighter, colours.channels(colours.DARK)) >= 4.45  # rounded to whole values


def test_contrast_is_that_of_the_guidelines():
    assert colours.contrast([0, 0, 0], [255, 255, 255]) == pytest.approx(21)
    assert colours.contrast([119, 119, 119], [255, 255, 255]) == pytest.approx(4.48, abs=0.01)


def test_every_marker_has_a_path_within_its_square():
    assert set(MARKERS) <= set(colours.PATHS)
    assert len(set(colours.PATHS.values())) == len(colours.PATHS)


def test_only_known_scripts_may_run():
    allowed = policy(["a"])
    assert "default-src 'none'" in allowed and "'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='" in allowed
    assert "unsafe-eval" not in allowed and "script-src 'unsafe" not in allowed


def test_each_chart_is_a_specification():
    assert set(charts.specs()) == {"scaling", "roofline", "pareto", "ranks"}
    assert all(
        "data" not in layer for spec in charts.specs().values() for layer in spec["spec"]["layer"]
    )  # or no panel splits them


def test_a_page_by_hand_is_left_alone(tmp_path):
    (tmp_path / "index.html").write_text("by hand")
    with pytest.raises(ValueError, match="not generated"):
        write([], [], tmp_path / "index.html")


def test_without_the_libraries_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(ValueError, match="pip install"):
        library.__wrapped__()
