"""The command `report`: all formats agree with the tables, and figures are never older than the tables."""

import json
import math
import re
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.columns import COLUMNS
from bench.journal import JOURNAL, Journal, Writer, read_journal
from bench.report import manifest
from bench.report.write import write_reports
from tests.builders import ENV, latency, params

HOSTILE = "a_b|c&d%e#f$g{h}i~j^k\\l<img src=x>"


@pytest.fixture
def results(tmp_path):
    """Return a folder with one run, one of whose methods has a name that every format must escape."""
    folder = tmp_path / "results"
    with Writer(folder / "run_1" / JOURNAL) as writer:
        writer.env(ENV)
        writer.run({"command": "python -m bench run --methods all", "started": 1.0, "baseline": "dwconv7"})
        for record in (
            *(latency("dwconv7", 1.0), latency("fast", 0.5), latency("tied", 0.5005), latency(HOSTILE, 2.0)),
            *(latency("big", 0, "oom", "asked for 50% of {all} | 8 GB"), params("fast", 7), params("dwconv7", 9)),
        ):
            writer.record(record)
    return folder


def report(folder, *words):
    return CliRunner().invoke(main, ["report", str(folder), "--no-figures", *words], catch_exceptions=False)


def read_csv(results):
    return pd.read_csv(results / "run_1" / "table.csv")


def test_json_equals_csv(results):
    assert report(results, "--format", "json").exit_code == 0
    exported = json.loads((results / "run_1" / "table.json").read_text(), parse_constant=pytest.fail)
    written = read_csv(results)
    assert list(exported["rows"][0]) == list(written.columns)
    for row, (_, other) in zip(exported["rows"], written.iterrows(), strict=True):
        for name, value in row.items():
            same = value == other[name] or (value in (None, "") and pd.isna(other[name]))
            assert same, f"{name}: {value!r} is not {other[name]!r}"
    failed = next(row for row in exported["rows"] if row["method"] == "big")
    assert failed["latency_ms"] is None and failed["latency_status"] == "oom"


def test_json_has_columns_environments_and_runs(results):
    report(results, "--format", "json")
    exported = json.loads((results / "run_1" / "table.json").read_text())
    assert {column["name"] for column in exported["columns"]} == set(exported["rows"][0])
    assert [column["meaning"] for column in exported["columns"]][: len(COLUMNS)] == [column.meaning for column in COLUMNS]
    assert [env["cpu"] for env in exported["environments"]] == ["Processor"]
    assert exported["runs"][0]["command"] == "python -m bench run --methods all"
    assert exported["baseline"] == {"op": "dwconv7", "model": "none"}


def test_parquet_equals_csv(results):
    pytest.importorskip("pyarrow")
    assert report(results, "--format", "parquet").exit_code == 0
    exported, written = pd.read_parquet(results / "run_1" / "table.parquet"), read_csv(results)
    assert list(exported["method"]) == list(written["method"])
    for name in ("latency_ms", "speedup", "params_count", "place"):
        pd.testing.assert_series_equal(exported[name], written[name], check_dtype=False, check_exact=True)


def test_parquet_without_pyarrow_is_an_error(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = report(results, "--format", "parquet")
    assert result.exit_code == 2
    assert "--format parquet needs pyarrow" in result.output
    assert not (results / "LEADERBOARD.md").exists(), "checked before anything is written"


def test_csv_and_markdown_are_always_written_and_other_formats_on_request(results):
    report(results)
    names = {path.name for path in (results / "run_1").iterdir()}
    assert {"table.csv"} <= names and not {"table.json", "table.tex"} & names
    assert not (results / "index.html").exists()
    assert {"LEADERBOARD.md", "README.md"} <= {path.name for path in results.iterdir()}


def test_existing_exports_are_updated_with_the_tables(results):
    report(results, "--format", "json,latex")
    for name in ("table.json", "table.tex"):
        (results / "run_1" / name).write_text("old")
    report(results)
    assert "dwconv7" in (results / "run_1" / "table.json").read_text()
    assert "dwconv7" in (results / "run_1" / "table.tex").read_text()


def test_unknown_format_is_an_error(results):
    result = report(results, "--format", "markdwn")
    assert result.exit_code == 2
    assert "'markdwn' is not one of markdown, html, csv, json, parquet, latex; did you mean 'markdown'?" in result.output


@pytest.fixture
def tex(results):
    assert report(results, "--format", "latex").exit_code == 0
    return (results / "run_1" / "table.tex").read_text()


def plain(text):
    """Return LaTeX without comments and escaped characters."""
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    return re.sub(r"\\[#$%&_{}]", "", "\n".join(lines))


def test_latex_is_balanced(tex):
    depth = 0
    for sign in plain(tex):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        assert depth >= 0
    assert depth == 0
    assert plain(tex).count("$") % 2 == 0
    opened = re.findall(r"\\(begin|end)\{(\w+)\}", tex)
    assert opened == [("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table")]


def test_latex_rows_have_the_declared_columns(tex):
    declared = re.search(r"\\begin\{tabular\}\{([lr]+)\}", tex)[1]
    body = re.findall(r"^(.*) \\\\$", plain(tex), re.MULTILINE)
    assert len(body) == 6
    assert {line.count("&") + 1 for line in body} == {len(declared)}
    assert declared.startswith("rl")


def test_latex_has_booktabs_rules_around_head_and_body(tex):
    lines = tex.splitlines()
    top, middle, bottom = (lines.index(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule"))
    assert (middle - top, bottom - middle) == (2, 6)
    assert r"\hline" not in tex


def test_latex_has_the_values_of_the_leaderboard(tex):
    assert r"1= & \texttt{fast} & \textbf{0.500 $\pm$9.5\%} & 2.00x $\pm$0.0\% & \textbf{7}" in tex
    assert r"1= & \texttt{tied} &" in tex
    assert r" & \texttt{big} & \textit{oom}\textsuperscript{1} &" in tex
    assert r"\textsuperscript{1} oom: asked for 50\% of \{all\} \textbar{} 8 GB" in tex
    assert r"\caption{run\_1. cpu, 1 thread, fp32, inference, batch 1, 64 channels. 56 px}" in tex


def test_latex_escapes_names(tex):
    name = (
        r"a\_b\textbar{}c\&d\%e\#f\$g\{h\}i\textasciitilde{}j\textasciicircum{}k\textbackslash{}l\textless{}img src=x\textgreater{}"
    )
    assert rf"\texttt{{{name}}}" in tex


def drawing(journal, table, folder):
    """Replace the drawing of figures."""
    folder.mkdir(exist_ok=True)
    (folder / "winners_cpu.svg").write_text(f"{len(table)} rows of {journal.name}")
    manifest.update(folder, [manifest.Figure("winners_cpu.svg", "winners", "cpu", "cpu, 1 thread")])
    return [folder / "winners_cpu.svg"]


@pytest.fixture
def drawn(monkeypatch):
    monkeypatch.setitem(sys.modules, "bench.report.figures", SimpleNamespace(draw=drawing))


@pytest.mark.usefixtures("drawn")
def test_report_draws_figures_and_shows_them(results):
    result = CliRunner().invoke(main, ["report", str(results)], catch_exceptions=False)
    assert str(results / "run_1" / "figures" / "winners_cpu.svg") in result.output
    assert "![winners: cpu](run_1/figures/winners_cpu.svg)" in (results / "LEADERBOARD.md").read_text()
    assert (results / "run_1" / "figures" / "winners_cpu.svg").read_text() == "5 rows of run_1"


@pytest.mark.usefixtures("drawn")
def test_existing_figures_are_updated_by_a_run(results):
    figures = results / "run_1" / "figures"
    write_reports([results / "run_1"])
    assert not figures.exists()
    figures.mkdir()
    write_reports([results / "run_1"])
    assert {path.name for path in figures.iterdir()} == {"winners_cpu.svg", manifest.NAME}


def test_existing_figures_are_linked_with_no_figures(results):
    drawing(Journal(results), [], results / "run_1" / "figures")
    report(results)
    assert "(run_1/figures/winners_cpu.svg)" in (results / "LEADERBOARD.md").read_text()


def test_html_page_covers_all_runs(results, monkeypatch):
    def write(journals, tables, path):
        path.write_text(",".join(f"{journal.name}: {len(table)}" for journal, table in zip(journals, tables)))
        return path

    monkeypatch.setitem(sys.modules, "bench.report.page", SimpleNamespace(write=write))
    result = report(results, "--format", "html")
    assert result.output.splitlines()[-1] == str(results / "index.html")
    assert (results / "index.html").read_text() == "run_1: 5"


def test_existing_html_page_is_updated_or_reported_as_old(results, monkeypatch, capsys):
    page = results / "index.html"
    page.write_text("old")

    def write(journals, tables, path):
        path.write_text("new")
        return path

    def lacking(journals, tables, path):
        raise ValueError("needs altair")

    monkeypatch.setitem(sys.modules, "bench.report.page", SimpleNamespace(write=lacking))
    assert page not in write_reports([results / "run_1"])
    assert page.read_text() == "old"
    assert capsys.readouterr().err == f"{page} is older than the tables: needs altair\n"
    monkeypatch.setitem(sys.modules, "bench.report.page", SimpleNamespace(write=write))
    assert page in write_reports([results / "run_1"])
    assert page.read_text() == "new"


def test_tables_without_data_are_deleted(results):
    for name in ("accuracy.csv", "crossover.csv"):
        (results / "run_1" / name).write_text("old")
    report(results)
    assert not list(results.glob("run_1/[ac]*.csv"))


def test_another_view_does_not_change_the_tables_and_the_next_report_writes_the_default_page(results):
    report(results)
    default, table = (results / "LEADERBOARD.md").read_text(), (results / "run_1" / "table.csv").read_text()
    report(results, "--sort", "params_count", "--baseline", "fast", "--group", "mode")
    other = (results / "LEADERBOARD.md").read_text()
    assert "Not the default page" in other and "vs fast" in other
    assert (results / "run_1" / "table.csv").read_text() == table
    report(results)
    assert (results / "LEADERBOARD.md").read_text() == default


def test_unknown_baseline_is_an_error(results):
    result = report(results, "--baseline", "fats")
    assert result.exit_code == 2
    assert "--baseline fats: no run has measured it; did you mean 'fast'?" in result.output


def test_infinite_values_are_null(results):
    from bench.report.export.tables import as_data

    journal = read_journal(results / "run_1" / JOURNAL)
    (row,) = as_data(journal, pd.DataFrame({"speedup": [math.inf]}))["rows"]
    assert row == {"speedup": None}


def test_analysis_pages_are_linked(results):
    (results / "reach").mkdir()
    (results / "reach" / "ANALYSIS.md").write_text("# Results")
    report(results)
    assert "- Analyses: [reach](reach/ANALYSIS.md)" in (results / "LEADERBOARD.md").read_text()
