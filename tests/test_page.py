"""The page in a browser: what is seen, sorted, filtered, drawn and kept in the address; and what is written into it."""

import json
import shutil
import sys

import pandas as pd
import pytest

from bench import comparison, store
from bench.columns import COLUMNS
from bench.report.page import charts, choices, colours, data, html, library, policy, write
from bench.report.style import MARKERS
from bench.spec import Cell, Job, Protocol, Record, Timing
from bench.store import Journal
from bench.table import NAMES, NUMBERS, tidy
from tests.test_leaderboard import ENV
from tests.test_learning_tables import seeds

EVIL = "<img src=x onerror=alert(1)>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
METHODS = {"dwconv7": (0.2, 3200), "dwconv3": (0.1, 640), "niff": (0.6, 760), "afno": (1.0, 2304), EVIL: (0.4, 9999)}
ENV = ENV | {"ceilings": {"cpu/1": {"copy": {"hot": [[65536, 7e10], [268435456, 4e10]]}, "linear": {"fp32": 2e11}, "fft": 4e10}}}
WHERE = {"env": "e1", "session": 1.0, "started": 1.0}


def timed(method, ms, **cell):
    values = {"latency_ms": ms, "latency_lo_ms": ms * 0.98, "latency_hi_ms": ms * 1.02, "contended": 0, "rounds": 10}
    rounds = {"clean": [ms, ms * 1.001, ms]}
    return Record(Job(Cell(method, **cell), "latency", Timing(), "c"), "ok", "", values, rounds, **WHERE)


def counted(method, metric, values, **cell):
    return Record(Job(Cell(method, **cell), metric, Protocol(), "c"), "ok", "", values, **WHERE)


def failed(method, metric, status, detail, **cell):
    protocol = Timing() if metric == "latency" else Protocol()
    return Record(Job(Cell(method, **cell), metric, protocol, "c"), status, detail, **WHERE)


def operators():
    """Five methods at three resolutions and two channels: latency by the side squared, the channels and the pace."""
    for method, (pace, count) in METHODS.items():
        for side in (16, 32, 64):
            for channels in (16, 32):
                at = {"height": side, "width": side, "channels": channels}
                flops = {"flops": count * side**2, "weights_bytes": 4 * count, "flops_fft": 0, "flops_eff": count * side**2}
                yield timed(method, pace * side**2 / 256 * channels / 16, **at)
                yield counted(method, "params", {"params_count": count}, **at)
                yield counted(method, "flops", flops, **at)
    yield failed("huge", "latency", "oom", "1 TiB wanted <b>", height=16, width=16, channels=16)
    yield failed("slow", "latency", "skipped", "predicted 130 s", height=16, width=16, channels=16)


def kernels():
    """A direct form that costs k^2 beside one that costs as 10 x 10: they cross at 10."""
    for kernel in (5, 9, 13):
        yield timed("dwconv_direct", kernel**2 / 100, height=16, width=16, kernel=kernel)
        yield timed("dwconv_fft", 1.0, height=16, width=16, kernel=kernel)


def learnt():
    """The slow one learns no more than the faster; the fastest is at its floor."""
    for method, ms, accuracy in (("dwconv3", 0.1, 50.0), ("dwconv7", 0.2, 90.0), ("niff", 0.6, 95.0), ("afno", 1.0, 94.0)):
        yield timed(method, ms, height=8, width=8)
        yield from seeds(method, accuracy - 0.5, accuracy, accuracy + 0.5, accuracy_images=1000)


RUNS = {"operators": operators, "kernels": kernels, "learnt": learnt}


@pytest.fixture(scope="module")
def journals(tmp_path_factory):
    return [journal(tmp_path_factory.mktemp("results") / name / store.NAME, records()) for name, records in RUNS.items()]


def journal(path, records):
    with store.Writer(path) as writer:
        writer.env(ENV)
        writer.run(
            {"command": f"python -m bench run -o {path.parent.name}", "started": 1.8e9, "baseline": "dwconv7", "commit": "abc"}
        )
        for record in records:
            writer.record(record)
    return store.read(path)


@pytest.fixture(scope="module")
def file(journals, tmp_path_factory):
    return write(journals, [tidy(one) for one in journals], tmp_path_factory.mktemp("page") / "index.html")


# What is written, without a browser.


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
    assert values["gflop_per_s"][0] == pytest.approx(table["flops"][0] / table["latency_ms"][0] / 1e6, rel=1e-4)


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


# What is seen, in Chromium.


@pytest.fixture(scope="module")
def chromium():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no chromium")
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Reader:
    """A tab, and what it said or asked for."""

    def __init__(self, chromium, file, width=1000):
        self.context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme="light")
        self.tab, self.address = self.context.new_page(), f"file://{file}"
        self.said, self.asked = [], []
        self.tab.on("console", lambda message: self.said.append(message.text))
        self.tab.on("pageerror", lambda error: self.said.append(str(error)))
        self.tab.on("dialog", lambda dialog: (self.said.append(dialog.message), dialog.dismiss()))
        self.tab.on("request", lambda request: self.asked.append(request.url.partition("#")[0]))

    def open(self, hash=""):
        self.tab.goto(self.address + hash)
        settled(self.tab)
        return self.tab

    def close(self):
        """The page said nothing, opened no dialog and asked for nothing but itself."""
        self.context.close()
        assert self.said == []
        assert set(self.asked) == {self.address}


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


FOLLOW = """(hash) => new Promise((done) => {
    if (location.hash === hash) return done();
    addEventListener("hashchange", done, { once: true });
    location.hash = hash;
})"""


def settled(tab):
    """After the frame that shows a change, and the chart."""
    tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    tab.wait_for_selector("#chart[aria-busy=false]", state="attached")


def column(tab, name):
    """The texts of a column of the table, from above."""
    head = [cell.get_attribute("data-name") for cell in tab.query_selector_all("thead th")]
    return tab.eval_on_selector_all(f"tbody tr > :nth-child({head.index(name) + 1})", "all => all.map((one) => one.textContent)")


def press(tab, name):
    tab.click(f"thead th[data-name={name}] button")
    settled(tab)


ONE = "#res=16&channels=16"  # one setting of the operators
marked = pytest.mark.ui


@marked
def test_the_fastest_come_first_and_failures_last(visit):
    tab = visit(ONE)
    assert column(tab, "label") == ["dwconv3", "dwconv7", EVIL, "niff", "afno", "huge", "slow"]
    assert column(tab, "latency_ms") == ["0.100±2.0%", "0.200±2.0%", "0.400±2.0%", "0.600±2.0%", "1.00±2.0%", "oom", "skipped"]
    assert column(tab, "status")[-2:] == ["oom latency: oom: 1 TiB wanted <b>", "skipped latency: skipped: predicted 130 s"]
    assert tab.inner_text("#count") == "7 of 42 cells, 2 without all values, lowest latency first"
    assert "Not shown" not in tab.inner_text("#caption")


@marked
def test_a_head_sorts_and_sorts_back_and_what_is_missing_stays_last(visit):
    tab = visit(ONE)
    press(tab, "params_count")
    assert column(tab, "params_count") == ["640", "760", "2,304", "3,200", "9,999", "", ""]
    assert tab.get_attribute("th[data-name=params_count]", "aria-sort") == "ascending"
    press(tab, "params_count")
    assert column(tab, "params_count") == ["9,999", "3,200", "2,304", "760", "640", "", ""]
    assert tab.get_attribute("th[data-name=params_count]", "aria-sort") == "descending"
    assert tab.locator("[aria-sort]").count() == 1
    press(tab, "speedup")  # the higher the better: at once from above
    assert column(tab, "label")[:5] == ["dwconv3", "dwconv7", EVIL, "niff", "afno"]


@marked
def test_equal_rows_keep_their_order(visit):
    tab = visit("#res=16&columns=label&columns=channels&columns=params_count&sort=params_count")
    assert column(tab, "channels")[:6] == ["16", "32"] * 3


@marked
@pytest.mark.parametrize("key", ["Enter", " "])
def test_the_keyboard_sorts_and_keeps_its_place(visit, key):
    tab = visit(ONE)
    tab.focus("th[data-name=label] button")
    tab.keyboard.press(key)
    settled(tab)
    assert column(tab, "label") == [EVIL, "afno", "dwconv3", "dwconv7", "huge", "niff", "slow"]
    assert tab.evaluate("document.activeElement.parentElement.dataset.name") == "label"


@marked
def test_filters_act_on_table_and_chart_alike(visit):
    tab = visit("#channels=16")
    tab.click("#filter-series summary")
    tab.get_by_role("checkbox", name="niff", exact=True).check()
    tab.get_by_role("checkbox", name="afno", exact=True).check()
    tab.keyboard.press("Escape")
    settled(tab)
    assert set(column(tab, "label")) == {"niff", "afno"}
    assert tab.inner_text("#filter-series summary") == "Method: niff, afno"
    assert tab.locator("#filter-series").get_attribute("open") is None
    assert tab.locator("#legend button").all_text_contents() == ["afno ~ n^2.00", "niff ~ n^2.00"]
    assert tab.locator("#chart path[aria-label^=niff]").count() == 3
    assert tab.locator("#chart path[aria-label^=dwconv]").count() == 0


@marked
def test_the_search_looks_into_names_and_reasons_once_a_pause(visit):
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


def renderings(tab):
    """Counts from now on how often the rows of the table are replaced."""
    tab.evaluate("""() => {
        window.renderings = 0;
        new MutationObserver(() => window.renderings++).observe(document.querySelector("tbody"), { childList: true });
    }""")


@marked
def test_a_status_is_a_filter(visit):
    tab = visit("#status=oom")
    assert column(tab, "label") == ["huge"]
    assert tab.inner_text("#filter-status summary") == "Status: oom"


@marked
def test_columns_are_chosen(visit):
    tab = visit(ONE)
    tab.click("#columns summary")
    tab.get_by_role("checkbox", name="latency hi, ms", exact=True).check()
    settled(tab)
    assert column(tab, "latency_hi_ms")[0] == "0.102"
    tab.get_by_role("checkbox", name="params", exact=True).uncheck()
    settled(tab)
    assert tab.locator("th[data-name=params_count]").count() == 0
    assert "upper end of the 95% interval" in tab.get_attribute("th[data-name=latency_hi_ms] button", "title")


@marked
def test_pointing_at_a_mark_shows_its_value_with_its_interval(visit):
    tab = visit("#channels=16")
    tab.locator("#chart path[aria-label='niff, 32 px, 16 channels']").hover()
    tip = tab.locator("#tip")
    tip.wait_for()
    said = dict(zip(tip.locator("dt").all_inner_texts(), tip.locator("dd").all_inner_texts()))
    assert tip.locator("strong").inner_text() == "niff"
    assert said["latency"] == "2.40 ±2.0% ms"
    assert said["rounds"] == "10"
    assert said["environment"].startswith("Processor (2 cores")


@marked
def test_a_name_is_text_everywhere(visit):
    tab = visit(ONE.replace("res=16&", ""))
    tab.locator("#chart path[aria-label^='<img'][aria-label*='32 px']").hover()
    tab.locator("#tip").wait_for()
    assert tab.locator("#tip strong").inner_text() == EVIL
    tab.click("#filter-series summary")
    assert tab.get_by_role("checkbox", name=EVIL).count() == 1
    assert tab.locator("#legend").get_by_text(EVIL).count() == 1
    for view in ("pareto", "ranks", "roofline"):
        tab.click(f"#tab-{view}")
        settled(tab)
    assert tab.locator("img").count() == 0


def oracle(rows, across, up):
    """The front by the program's own rule: as a cost and a gain."""
    signs = [1 if choice in ("latency_ms", "params_count") else -1 for choice in (across, up)]
    return {
        row["label"]
        for row, on in zip(rows, comparison.front([(signs[0] * row[across], -signs[1] * row[up]) for row in rows]))
        if on
    }


@marked
@pytest.mark.parametrize(
    ("across", "up"), [("latency_ms", "params_count"), ("params_count", "speedup"), ("speedup", "params_count")]
)
def test_the_front_is_that_of_the_chosen_columns(visit, journals, across, up):
    table = tidy(journals[0]).query("height == 16 and channels == 16 and latency_status == 'ok'")
    tab = visit(f"{ONE}&tab=pareto&across=params_count&up=latency_ms")
    tab.select_option("#across", across)
    tab.select_option("#up", up)
    settled(tab)
    assert front(tab) == oracle(table.to_dict("records"), across, up)


def front(tab):
    return set(tab.inner_text("#notes li >> nth=0").partition(": ")[2].split(", "))


@marked
def test_the_front_is_that_of_the_filtered_rows(visit):
    tab = visit(f"{ONE}&tab=pareto&across=latency_ms&up=params_count&series=niff&series=afno&series=dwconv7")
    assert front(tab) == {"dwconv7", "niff"}


@marked
def test_an_accuracy_at_its_floor_is_on_no_front(visit, journals):
    table = tidy(journals[2])
    assert front(visit("#run=learnt&tab=pareto")) == set(table[table["pareto"] == 1]["label"]) == {"dwconv7", "niff"}


@marked
def test_the_crossing_of_the_two_forms_is_marked(visit):
    tab = visit("#run=kernels&tab=kernel")
    assert tab.locator("#chart svg").get_by_text("equal at 10.0 px").count() == 1
    assert tab.locator("#legend button").all_inner_texts() == ["dwconv_direct ~ n^2.00", "dwconv_fft ~ n^0.00"]


@marked
def test_the_roofs_of_the_machine_are_drawn(visit):
    texts = visit("#tab=roofline").locator("#chart text").all_text_contents()
    assert {"fp32 products, 200 GFLOP/s", "transforms, 40 GFLOP/s", "hot copy of 64 KiB, 70 GB/s"} <= set(texts)


@marked
def test_the_map_names_the_fastest(visit):
    tab = visit("#tab=ranks")
    assert tab.locator("#chart path[aria-label*='1 dwconv3, 2 dwconv7, 3 <img']").count() == 6


@marked
def test_a_chart_without_data_says_so(visit):
    tab = visit("#run=learnt&tab=channels")
    assert tab.inner_text("#caption").startswith("Nothing to draw")
    assert tab.locator("#chart svg").count() == 0


@marked
def test_what_failed_is_said_below_the_chart(visit):
    notes = visit().locator("#notes").inner_text()
    assert "Not shown: huge, 16 px, 16 channels (oom)" in notes


@marked
def test_the_address_keeps_all_that_was_chosen(visit, reader):
    tab = visit(ONE)
    press(tab, "params_count")
    press(tab, "params_count")
    tab.select_option("#theme", "dark")
    tab.click("#tab-pareto")
    tab.select_option("#up", "params_count")
    tab.get_by_role("button", name="niff").click()
    settled(tab)
    again = reader("#" + tab.url.partition("#")[2])
    for seen in ("#count", "tbody", "#caption", "#notes", "#filters"):
        assert again.inner_text(seen) == tab.inner_text(seen)
    assert again.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 29)"
    assert again.get_by_role("button", name="niff").get_attribute("aria-pressed") == "true"
    assert again.input_value("#up") == "params_count"


@marked
def test_an_address_of_another_page_does_no_harm(visit):
    tab = visit("#run=gone&sort=__proto__&columns=label&columns=constructor&tab=nothing&y=toString&page=99&res=%3Cb%3E")
    assert tab.locator("tbody tr").count() == 42
    assert tab.locator("thead th").count() == 1


@marked
def test_the_link_is_copied_or_shown(visit):
    tab = visit(ONE)
    tab.click("#copy")
    tab.wait_for_selector("#copied:not(:empty)")
    copied = tab.evaluate("navigator.clipboard?.readText().catch(() => null)") or tab.input_value("#link")
    assert copied == tab.url


@marked
def test_dark_is_chosen_or_follows_the_system(reader):
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


@marked
def test_paper_has_all_rows_and_no_controls(reader):
    tab = reader("#size=25&theme=dark")
    assert tab.locator("tbody tr").count() == 25
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.locator("tbody tr").count() == 32
    assert not any(control.is_visible() for control in tab.locator(".controls").all())
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.locator("tbody tr").count() == 25


@marked
@pytest.mark.parametrize("width", [400, 800])
def test_nothing_overflows_the_window(reader, width):
    tab = reader(width=width)
    assert tab.locator("#chart svg").bounding_box()["width"] <= width
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


@marked
def test_tabs_are_walked_with_arrows(visit):
    tab = visit()
    tab.focus("#tab-res")
    tab.keyboard.press("ArrowLeft")
    settled(tab)
    assert tab.get_attribute("#tab-ranks", "aria-selected") == "true"
    assert tab.evaluate("document.activeElement.id") == "tab-ranks"


@marked
def test_everything_that_can_be_used_has_a_name(visit):
    tab = visit()
    nameless = (
        """all => all.filter((one) => !(one.textContent.trim() || one.ariaLabel || one.labels?.length || one.title)).length"""
    )
    assert tab.eval_on_selector_all("button, input, select, summary, [role=region]", nameless) == 0
    assert tab.get_attribute("#count", "role") == "status"
    assert "The table holds the same figures" in tab.get_attribute("#chart svg", "aria-label")


# Ten thousand cells, by counting.

MANY = 10_000


def crowd():
    """A tidy table of one run: a hundred methods at a hundred resolutions, every hundredth cell a failure."""
    rows = []
    for number in range(MANY):
        method, side = f"m{number % 100:02}", 8 + number // 100
        row = dict.fromkeys(NAMES) | {"method": method, "label": method, "params": "{}", "level": "op", "network": "", "env": "e1"}
        row |= {"height": side, "width": side, "channels": 64, "batch": 1, "dtype": "fp32", "device": "cpu", "mode": "infer"}
        row |= {"threads": 1, "seed": 0, "timer": "wall", "latency_status": "ok", "latency_ms": (number * 7919) % MANY + 1.0}
        rows.append(row | ({"latency_status": "timeout", "latency_ms": None} if number % 100 == 99 else {}))
    return pd.DataFrame(rows, columns=NAMES).astype(dict.fromkeys(NUMBERS, "float64"))


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crowd")
    many = Journal(folder / "many" / store.NAME, envs={"e1": ENV}, runs=[{"command": "c", "started": 1.0}])
    return write([many], [crowd()], folder / "index.html")


@marked
def test_ten_thousand_cells_are_shown_a_page_at_a_time_with_one_rendering_a_change(reader, crowded):
    tab = reader(file=crowded)
    renderings(tab)
    assert tab.inner_text("#count") == "10,000 cells, 100 without all values, lowest latency first"
    assert column(tab, "latency_ms")[:3] == ["1.00", "2.00", "3.00"]
    press(tab, "latency_ms")
    assert column(tab, "latency_ms")[:2] == ["10,000", "9,999"]
    assert tab.evaluate("window.renderings") == 1
    tab.click("#next")
    settled(tab)
    assert (tab.inner_text("#page"), tab.evaluate("window.renderings")) == ("page 2 of 100", 2)
    assert tab.locator("tbody tr").count() == 100
    assert tab.locator("#chart svg").count() == 0 and "too many to read" in tab.inner_text("#caption")
    tab.fill("#search", "m07")
    tab.wait_for_selector("#chart svg")
    assert tab.inner_text("#count") == "100 of 10,000 cells, 0 without all values, highest latency first"
    assert tab.evaluate("window.renderings") == 3
    assert tab.evaluate("document.querySelectorAll('*').length") < 5000
    assert crowded.stat().st_size < 2e6
