"""Tests of the command `analyze`: its arguments, and the output of every analysis."""

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure

import methods
from bench.analysis import network, output
from bench.analysis.epochs import last_epochs
from bench.cli import main
from bench.report.text import GENERATED
from bench.spec import Cell
from tests.paths import ROOT

ENV = {
    "id": "e0", "cpu": "Test CPU", "cores": 2, "memory_gb": 4.0, "cpu_capability": "AVX2", "torch": "2.15.0", "python": "3.11",
    "os": "Linux", "malloc": "tuned", "gpus": [], "commit": "abc123",
}  # fmt: skip


def error_of(*args):
    """Return the error message of a call that must exit with status 2."""
    result = CliRunner().invoke(main, ["analyze", *map(str, args)])
    assert result.exit_code == 2, result.output
    return result.output.strip().splitlines()[-1]


def test_missing_weights_or_networks_are_errors(tmp_path):
    (tmp_path / "x.pt").write_bytes(b"no weights")
    assert "give saved weights, or --backbone" in error_of("localisation")
    assert "not both" in error_of("localisation", tmp_path, "--backbone", "resnet18")
    assert "--keep-weights last` writes them" in error_of("masks", tmp_path)
    assert "is not a weights file" in error_of("localisation", tmp_path / "x.pt")
    assert "needs --methods" in error_of("localisation", "--backbone", "mixer", "--res", 16)
    assert "unknown method 'nif'" in error_of("localisation", "--backbone", "mixer", "--methods", "nif", "--res", 16)


def test_crossover_needs_a_run_of_both_forms(tmp_path):
    assert "did not measure both forms" in error_of("crossover", tmp_path)
    run = ROOT / "results" / "crossover-cpu"
    result = CliRunner().invoke(main, ["analyze", "crossover", str(run)])
    assert result.exit_code == 0
    table = pd.read_csv(run / "crossover.csv")
    assert len([line for line in result.output.splitlines() if line.startswith("| cpu")]) == len(table) > 10


def test_networks_by_name_are_analysed_with_each_method_and_as_published():
    known = {entry.name: entry for entry in methods.catalogue()}
    selection = (("test_resnet", "mixer", "flexnet3"), ("niff", "dwconv7"), [(32, 32)], known)
    labels = [each.label for each in network.by_name(*selection)]
    assert labels == [
        "test_resnet", "test_resnet + niff", "test_resnet + dwconv7", "mixer + niff", "mixer + dwconv7", "flexnet3",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="--load needs exactly one network, not 6"):
        network.by_name(*selection, load="weights.pt")


def test_untrained_network_depends_only_on_its_seed():
    known = {entry.name: entry for entry in methods.catalogue()}
    (untrained,) = network.by_name(("mixer",), ("dwconv7",), [(16, 16)], known, classes=5)
    first, again, other = (untrained.untrained_module(seed).state_dict() for seed in (0, 0, 1))
    assert first["head.weight"].shape[0] == 5
    assert all((first[name] == again[name]).all() for name in first)
    assert any((first[name] != other[name]).any() for name in first)
    assert not untrained.trained


def test_the_last_saved_epoch_of_each_training_is_analysed():
    cell = Cell("niff", 16, 16, level="model", network="mixer")
    saved = [
        network.Network(cell, (16, 16), weights=Path(f"{epoch}.weights.pt"), epoch=epoch, training=training)
        for training, epoch in (("a", 2), ("a", 10), ("a", 0), ("b", 0))
    ]
    untrained = network.Network(cell, (16, 16))
    assert last_epochs([*saved, untrained]) == [saved[1], saved[3], untrained]


def findings():
    figure = Figure()
    figure.subplots().plot([1, 2], [3, 4])
    table = pd.DataFrame({"layer": ["a", "b"], "size": [3.0, None]})
    return output.Findings("Sizes", "A summary.", {"sizes": table}, {"plot": figure}, {"size": "px: of the kernel"})


def test_findings_are_written_with_command_and_environment(tmp_path):
    paths = output.write(findings(), tmp_path / "a", "python -m bench analyze sizes", ENV)
    assert sorted(str(path.relative_to(tmp_path / "a")) for path in paths) == [
        "ANALYSIS.md", "analysis.json", "figures/plot.png", "figures/plot.svg", "sizes.csv",
    ]  # fmt: skip
    page = (tmp_path / "a" / "ANALYSIS.md").read_text()
    for text in ("# Sizes", "`python -m bench analyze sizes` at commit abc123", "Test CPU", "A summary.", "figures/plot.svg"):
        assert text in page
    assert "`size`: px: of the kernel" in page and GENERATED in page
    assert json.loads((tmp_path / "a" / "analysis.json").read_text())["env"] == ENV
    assert pd.read_csv(tmp_path / "a" / "sizes.csv")["size"].isna().tolist() == [False, True]


def test_page_written_by_hand_is_not_overwritten(tmp_path):
    (tmp_path / "ANALYSIS.md").write_text("my notes")
    assert "choose another folder with -o" in error_of("fitting", "--steps", 1, "-o", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["ANALYSIS.md"]


def test_environment_is_collected_before_the_analysis(tmp_path, monkeypatch):
    """A commit made during an analysis is not recorded as its commit."""
    now = {**ENV, "commit": "before"}
    monkeypatch.setattr("bench.system.environment.collect", lambda: {**now})

    def analyse(*_):
        now["commit"] = "after"
        return findings()

    monkeypatch.setattr("bench.analysis.fitting.analysis.analyse", analyse)
    assert CliRunner().invoke(main, ["analyze", "fitting", "-o", str(tmp_path / "a")]).exit_code == 0
    assert json.loads((tmp_path / "a" / "analysis.json").read_text())["env"]["commit"] == "before"
