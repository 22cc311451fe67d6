"""The README: its commands parse, its example runs, and its table is that of the committed run."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

import bench.cli
from bench.cli import main
from bench.columns import DEFAULT_METRICS
from bench.journal import JOURNAL, read_journal
from bench.report.leaderboard.extract import MARKED, fill
from bench.report.leaderboard.page import leaderboard
from bench.report.write import existing_figures
from bench.tables.cells import complete_rows
from methods.registry import shipped
from tests.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "results"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [line.split("#")[0].strip() for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]


def test_the_table_is_generated_from_the_committed_run():
    assert MARKED.search(README)
    assert fill(README, RESULTS) == README


def test_the_leaderboard_is_generated_from_the_committed_runs():
    committed = [read_journal(path) for path in sorted(RESULTS.glob(f"*/{JOURNAL}")) if path.parent.name != "local"]
    assert committed
    for journal in committed:
        page = leaderboard([journal], [complete_rows(journal)], figures=existing_figures(RESULTS, [journal]))
        assert page.split("\n## ", 1)[1].strip() in (RESULTS / "LEADERBOARD.md").read_text(encoding="utf-8")


def test_the_committed_run_measured_every_method():
    run = read_journal(RESULTS / "cpu-1-thread" / JOURNAL)
    measured = {record.job.cell.method for record in run.records.values()}
    assert measured == {entry.name for entry in shipped() if not entry.needs_kernel}
    assert {record.job.metric for record in run.records.values()} == {*DEFAULT_METRICS} - {"accuracy"}
    assert {(cell.height, cell.channels) for cell in (record.job.cell for record in run.records.values())} == {
        (height, channels) for height in (14, 28, 56, 112) for channels in (16, 64, 192)
    }


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("python -m bench")])
def test_every_command_parses(line, tmp_path, monkeypatch):
    """Each command and option exists and takes the value shown; nothing is run."""
    words = shlex.split(line)[3:]
    monkeypatch.chdir(tmp_path)
    Path("my_method.py").write_text("")
    Path("results").mkdir()
    main.get_command(None, words[0]).make_context(words[0], words[1:])


def test_the_first_command_and_the_test_command_are_complete():
    shells = [text.strip() for kind, text in BLOCKS if kind == "sh"]
    first, second = shells[0], shells[-1]
    assert first.endswith("python -m bench run --methods niff,flexconv --res 224,512")
    assert second in (ROOT / ".ci" / "run").read_text()


def test_the_example_method_keeps_the_contract_and_runs(tmp_path):
    code = next(text for kind, text in BLOCKS if kind == "python")
    assert len(code.strip().splitlines()) < 30
    plugin = tmp_path / "my_method.py"
    plugin.write_text(code)
    checked = CliRunner().invoke(main, ["check", str(plugin)], catch_exceptions=False)
    assert checked.exit_code == 0, checked.output
    assert "axial21: gradients: ok" in checked.output
    out = tmp_path / "results" / "mine"
    words = ["run", "--plugin", str(plugin), "--methods", "axial*", "--res", "8", "--channels", "4", "-o", str(out)]
    ran = CliRunner().invoke(
        main, [*words, "--metrics", "params,flops,memory,latency", "--executor", "inline"], catch_exceptions=False
    )
    assert ran.exit_code == 0, ran.output
    assert {record.status for record in read_journal(out / JOURNAL).records.values()} == {"ok"}


def test_every_method_is_named():
    families = re.search(r"## Methods\n(.*?)\n## ", README, re.DOTALL)[1]
    shown = set(re.findall(r"`(\w+)`", families))
    assert {entry.name for entry in shipped() if not re.fullmatch(r"dwconv(7|13|31)", entry.name)} <= shown


def test_the_readme_lists_every_command():
    table = re.search(r"## Commands\n(.*?)\n## ", README, re.DOTALL)[1]
    names = (line.split("|")[1] for line in table.splitlines() if line.startswith("| `") and "python" not in line)
    assert {word for cell in names for word in re.findall(r"\w+", cell)} == set(bench.cli.COMMANDS)
