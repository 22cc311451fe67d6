"""The functions for notebooks: sweeps, results, comparisons; no torch before something is built."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import bench
from bench.journal import JOURNAL, read_journal
from tests.paths import FAULTS, ROOT

SMALL = {"methods": "dwconv3", "res": 8, "channels": 4, "metrics": ["params", "latency"], "rounds": 2, "max_rounds": 2}


def script(code, folder):
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False, timeout=280)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return bench.run(**SMALL, out=tmp_path_factory.mktemp("sweep") / "results" / "one", executor="inline")


def test_importing_costs_no_torch(tmp_path):
    code = "import sys, bench, methods; bench.run, bench.load, bench.swap, methods.list('niff*')\n"
    done = script(code + "assert not {'torch', 'pandas', 'click', 'rich'} & sys.modules.keys()", tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_sweep_gives_its_tables(results):
    assert set(results.table["label"]) == {"dwconv3", "dwconv7"}
    assert results.table["latency_ms"].gt(0).all()
    assert results.accuracy.empty and "eval_res" in results.accuracy
    assert results.failures.empty
    assert repr(results).endswith("2 rows, 0 jobs without a value)")
    pd.testing.assert_frame_equal(bench.load(results.folder).table, results.table)
    pd.testing.assert_frame_equal(bench.load(results.folder / JOURNAL).table, results.table)


def test_the_leaderboard_is_markdown(results):
    text = results.leaderboard()
    assert "| `dwconv3`" in text.replace("  ", " ") and text._repr_markdown_() == text
    assert "Ranked by `params_count`" in results.leaderboard(sort="params_count")
    assert "| vs dwconv3" in " ".join(results.leaderboard(baseline="dwconv3", group=["res"]).split())
    with pytest.raises(ValueError, match="did you mean 'latency_ms'"):
        results.leaderboard(sort="latency")
    with pytest.raises(ValueError, match="no run has measured it"):
        results.leaderboard(baseline="dwconv4")


def test_two_runs_are_compared(results, tmp_path):
    other = bench.run(**SMALL | {"metrics": "params"}, out=tmp_path / "results" / "two", executor="inline")
    comparison = results.compare(other, metric="params")
    assert comparison.table["verdict"].tolist() == ["same", "same"]
    assert comparison.table["change"].tolist() == [1.0, 1.0]
    assert str(comparison).endswith("2 cells: 2 same")
    assert str(results.compare(other.folder, metric="params")) == str(comparison)
    with pytest.raises(ValueError, match=r"run B .* has no record of latency"):
        results.compare(other)
    with pytest.raises(ValueError, match="did you mean 'latency'"):
        results.compare(other, metric="latenzy")
    with pytest.raises(ValueError, match="is not below 100%"):
        results.compare(other, metric="params", threshold=5)


def test_a_sweep_resumes_and_its_journal_has_the_command(results):
    before = (results.folder / JOURNAL).read_text().count('"kind":"record"')
    bench.run(**SMALL, out=results.folder, executor="inline")
    journal = read_journal(results.folder / JOURNAL)
    assert (results.folder / JOURNAL).read_text().count('"kind":"record"') == before
    assert journal.runs[0]["command"].startswith(
        "python -m bench run --methods dwconv3 --res 8 --channels 4 --metrics params,latency"
    )


def test_a_failed_job_is_a_row_and_no_exception(tmp_path):
    failed = bench.run(
        "raises", 8, channels=4, metrics="params,latency", plugins=FAULTS, baseline="none", out=tmp_path / "r" / "one"
    )
    assert failed.failures["status"].tolist() == ["error"]
    assert repr(failed).endswith("1 rows, 1 jobs without a value)")
    assert failed.table["latency_ms"].isna().all() and failed.table["params_count"].notna().all()


def test_a_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"no journal\.jsonl in"):
        bench.load(tmp_path)


MINE = """
import bench
from torch import nn
from methods import register

@register("mine")
class Mine(nn.Module):
    def __init__(self, channels, resolution):
        super().__init__()
    def forward(self, x):
        return FACTOR * x

try:
    bench.run("mine", 8, channels=4, metrics="params", baseline="none", out="results/mine")
except ValueError as error:
    print(error)
options = {"metrics": "latency", "rounds": 2, "max_rounds": 2, "baseline": "none", "executor": "inline"}
results = bench.run("mine", 8, channels=4, out="results/mine", **options)
print(results.table["label"].tolist())
"""


def test_a_method_of_a_script_runs_inline_and_is_refused_by_workers(tmp_path):
    file = tmp_path / "mine.py"
    texts = []
    for factor in (2, 2, 3):
        file.write_text(MINE.replace("FACTOR", str(factor)))
        done = subprocess.run([sys.executable, file], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=100)
        texts.append(done.stderr)
        assert "is registered in this process only" in done.stdout and "['mine']" in done.stdout
    assert ["mine cpu" in text for text in texts] == [True, False, True], "measured again only after the edit"


def test_the_page_on_python_runs_as_a_script(tmp_path):
    """Without a guard of the main module, as in a notebook; the last line of a block is shown."""
    pytest.importorskip("onnxscript")
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert blocks.count("") == 0 and len(blocks) > 6
    (tmp_path / "page.py").write_text("\n".join(blocks))
    done = subprocess.run([sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Replaced: " in done.stdout and "cells: " in done.stdout
    assert (tmp_path / "results" / "python" / "table.csv").exists()
    assert (tmp_path / "network.pt2").exists() and (tmp_path / "network.onnx").exists()


def test_the_wheel_runs_outside_of_a_clone(tmp_path):
    """It has the sources, the page and the commit, and writes to ./results."""
    pytest.importorskip("hatchling")
    wheel, site, folder = (tmp_path / name for name in ("wheel", "site", "empty"))
    folder.mkdir()
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheel)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=100)
    (file,) = wheel.glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(site), str(file)]
    subprocess.run(install, check=True, capture_output=True, timeout=100)
    assert all((site / name / "py.typed").exists() for name in ("bench", "methods"))

    def run(*words):
        words = [sys.executable, "-m", "bench", *words]
        return subprocess.run(
            words, cwd=folder, env={"PYTHONPATH": str(site)}, capture_output=True, text=True, check=True, timeout=100
        )

    head = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False
    ).stdout
    version = run("--version").stdout
    assert version.startswith("large-kernel-bench 0.") and (head.strip() in version if head else True)
    run("run", "--methods", "niff", "--res", "8", "--channels", "4", "--metrics", "params")
    journal = read_journal(folder / "results" / "local" / JOURNAL)
    assert len(journal.records) == 2
    assert not head or journal.runs[0]["commit"].startswith(head.strip())
    script = subprocess.run(
        [site / "bin" / "bench", "--version"], env={"PYTHONPATH": str(site)}, capture_output=True, text=True, check=True
    )
    assert script.stdout == version, "the console script"
    code = "import bench; print(bench.__file__)"
    where = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={"PYTHONPATH": str(site)}, capture_output=True, text=True, check=True
    )
    assert Path(where.stdout.strip()).is_relative_to(site)
