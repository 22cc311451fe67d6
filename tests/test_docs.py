"""The documentation: its commands run, its generated pages match the sources, and the site loads nothing from elsewhere."""

import ast
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from html import unescape

import click
import pandas as pd
import pytest

from bench.cli import main
from bench.columns import ACCURACY_COLUMNS, COLUMNS
from methods.registry import shipped
from tests.paths import ROOT

DOCS = ROOT / "docs"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
pytestmark = pytest.mark.timeout(300)  # a page is many commands, and a loaded machine slow
BUILDER = ("sphinx", "myst_parser", "furo")
DRIVER = """
import shlex, sys
from bench.cli import main

for line in sys.stdin.read().splitlines():
    print("$", line, flush=True)
    _, _, *sys.argv = shlex.split(line)
    try:
        main(prog_name="python -m bench")
    except SystemExit as end:
        if end.code:
            sys.exit(f"exit {end.code}: {line}")
"""


def blocks(text, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(text):
    """The lines of a page's shell blocks, without comments."""
    lines = "".join(blocks(text, "sh")).replace("\\\n", " ").splitlines()
    return [shlex.join(words) for line in lines if (words := shlex.split(line, comments=True))]


def saved(text):
    """Return the files that a page asks to save, and their content."""
    return dict(re.findall(r"Save this as `([^`]+)`:\n+```python\n(.*?)```", text, re.DOTALL))


def follow(folder, text, errors=False):
    """Follow a page in a folder with the packages: save its files, run its commands in one process. Return what it prints."""
    for package in ("bench", "methods"):
        shutil.copytree(ROOT / package, folder / package)
    for name, code in saved(text).items():
        (folder / name).write_text(code, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input="\n".join(commands(text)),
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr if errors else done.stdout


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if commands(text)])
def test_every_command_of_a_page_runs(page, tmp_path):
    out = follow(tmp_path, PAGES[page])
    assert out.count("\n$ ") + out.startswith("$ ") == len(commands(PAGES[page]))


def test_shell_blocks_hold_nothing_that_is_not_run():
    lines = [line for text in PAGES.values() for line in commands(text)]
    assert len(lines) > 10
    assert all(line.startswith("python -m bench ") for line in lines)


def test_the_example_metric_appears_everywhere_by_its_one_file(tmp_path):
    """The identity has a gain of 1; ten times the identity, one of 10: log2(10) = 3.32 octaves."""
    plugin = """
from torch import nn
from methods import register


@register("tenfold", factor=10.0)
@register("once", factor=1.0)
class Scaled(nn.Module):
    def __init__(self, channels, resolution, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x
"""
    (tmp_path / "scaled.py").write_text(plugin)
    sweep = "python -m bench run --plugin scaled.py --methods once,tenfold --baseline none --res 8 --channels 4 --metrics gain"
    lines = [
        f"{sweep} -o results/g",
        "python -m bench report results/g --no-figures --sort gain_error",
        "python -m bench compare results/g results/g --metric gain",
        f"{sweep} --mem-limit 1B -o results/limited",
    ]
    shell = "```sh\n" + "\n".join(lines) + "\n```"
    out = follow(tmp_path, re.sub(r"```sh\n.*?```", shell, PAGES["adding-a-metric"], count=1, flags=re.DOTALL), errors=True)
    table = pd.read_csv(tmp_path / "results" / "g" / "table.csv").set_index("method")
    assert table["gain"].to_dict() == pytest.approx({"once": 1.0, "tenfold": 10.0}, rel=1e-6)
    assert "tenfold cpu 1-thread fp32 infer b1 c4 8x8px gain: 3.322 octaves" in out, "progress"
    board = (tmp_path / "results" / "LEADERBOARD.md").read_text()
    assert r"gain\_error, octaves" in board, "leaderboard"
    assert board.index("`once`") < board.index("`tenfold`"), "the lower error first"
    assert "gain in octaves, B over A" in out and "2 cells: 2 same" in out, "compare"
    limited = pd.read_csv(tmp_path / "results" / "limited" / "table.csv")
    assert set(limited["gain_status"]) == {"skipped"}, "limit on memory"
    assert limited["gain_detail"].str.contains("--mem-limit").all()


def test_the_method_of_the_example_costs_what_it_states():
    """Its closed form is torch's count, and its output the sum that it documents."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    (code,) = saved(PAGES["adding-a-method"]).values()
    found = {}
    exec(compile(re.sub(r"^@register.*\n", "", code, flags=re.MULTILINE), "rank_one.py", "exec"), found)
    module = found["RankOne"](3, (8, 6), kernel_size=5).double()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        y = module(x := torch.randn(1, 3, 8, 6, dtype=torch.float64))
    assert module.flops(8, 6) == (0, counter.get_total_flops())
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2))
    windows = padded.unfold(2, 5, 1).unfold(3, 5, 1)
    expected = torch.einsum("ci,cj,bchwij->bchw", module.column[..., 0], module.row[:, 0], windows)
    assert torch.allclose(y, expected)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built with warnings as errors from a copy of its sources."""
    lacking = [name for name in BUILDER if importlib.util.find_spec(name) is None]
    if lacking:
        pytest.skip(f"the site is built with {', '.join(lacking)}, which is not installed")
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(DOCS, folder / "docs", ignore=shutil.ignore_patterns("reference", "__pycache__"))
    words = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", folder / "docs", folder / "site"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return folder / "site"


def shown(page):
    """The text of a built page, without white space."""
    article = re.search(r"<article.*?</article>", page.read_text(encoding="utf-8"), re.DOTALL)[0]
    return squeezed(unescape(re.sub(r"<[^>]+>", "", article)))


def squeezed(text):
    return re.sub(r"[\s`]+", "", text)


def blocks_of(doc):
    """The paragraphs, lists and formulas of a docstring, as a page shows them."""
    return [squeezed(re.sub(r"^- ", "", block, flags=re.MULTILINE)) for block in doc.split("\n\n")]


def docstrings(name):
    """Of the class behind a name, and of its file."""
    for file in sorted((ROOT / "methods").glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and f"register('{name}'" in " ".join(map(ast.unparse, node.decorator_list)):
                return ast.get_docstring(node), ast.get_docstring(tree)
    raise AssertionError(f"no class is registered as {name}")


def test_there_is_a_page_for_each_method_and_no_other(site):
    pages = {path.stem for path in (site / "reference" / "methods").glob("*.html")}
    assert pages - {"index"} == {entry.name for entry in shipped()}


@pytest.mark.parametrize("entry", shipped(), ids=lambda entry: entry.name)
def test_a_method_page_holds_its_docstrings_and_its_registry_entry(entry, site):
    page = shown(site / "reference" / "methods" / f"{entry.name}.html")
    for doc in docstrings(entry.name):
        assert [block for block in blocks_of(doc) if block not in page] == []
    assert entry.paper in page
    fixed = [f"{option}={value!r}" for option, value in entry.hparams.items()]
    free = [f"{option}{value!r}" for option, value in entry.options.items() if option not in {*entry.hparams, "kernel_size"}]
    assert [one for one in map(squeezed, (*fixed, *free)) if one not in page] == []
    assert ("takes--kernel" in page or "needs--kernel" in page) == entry.takes_kernel


@pytest.mark.parametrize("entry", shipped(), ids=lambda entry: entry.name)
def test_the_docstrings_of_a_method_state_a_formula(entry):
    formulas = [line for doc in docstrings(entry.name) for line in doc.splitlines() if re.match(r" {4}.*\w.* = .*\w", line)]
    assert formulas


def test_the_commands_of_the_method_pages_run(site, tmp_path):
    """Planned and built, not measured: there are many, and other tests run every method."""
    pages = [page.read_text(encoding="utf-8") for page in (site / "reference" / "methods").glob("*.html")]
    shells = [shell for page in pages for shell in re.findall(r'<div class="highlight-sh.*?<pre>(.*?)</pre>', page, re.DOTALL)]
    lines = [line for shell in shells for line in unescape(re.sub(r"<[^>]+>", "", shell)).splitlines() if line]
    assert len(lines) == 2 * len(shipped())
    cheap = [f"{line} --dry-run --executor inline" if " run " in line else line for line in lines]
    out = follow(tmp_path, "\n".join(["```sh", *cheap, "```", ""]))
    assert "skip:" not in out and "error:" not in out


def test_the_reference_names_every_column_verb_and_option(site):
    columns, verbs = shown(site / "reference" / "columns.html"), shown(site / "reference" / "commands.html")
    assert [
        one.name for one in (*COLUMNS, *ACCURACY_COLUMNS) if squeezed(one.name + one.unit + one.better + one.meaning) not in columns
    ] == []
    assert [
        option
        for command in verbs_of(main)
        for one in command.params
        for option in one.opts
        if isinstance(one, click.Option) and option not in verbs
    ] == []


def verbs_of(group):
    for command in (group.get_command(None, name) for name in group.list_commands(None)):
        yield from verbs_of(command) if isinstance(command, click.Group) else [command]


def test_no_page_loads_anything_from_elsewhere(site):
    loaded = re.compile(
        r"<(?:script|link|img|iframe|source|object)\b[^>]*?(?:src|href|data)=[\"']?(?:https?:)?//|@import\s|url\([\"']?(?:https?:)?//"
    )
    files = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    assert len(files) > len(shipped())
    assert [path.name for path in files if loaded.search(path.read_text(encoding="utf-8"))] == []
