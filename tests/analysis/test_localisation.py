"""Tests of localisation: comparison with untrained copies, failures, and the command."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import methods
from bench.analysis.localisation import analysis, figures, measures, tables, text
from bench.analysis.localisation.layers import measure_layers, outside_interval, titled
from bench.analysis.network import Network, by_name
from bench.cli import main
from bench.plan import cells
from bench.spec import Job, Training
from bench.training.weights import SUFFIX
from bench.workload.build import Workload
from tests.builders import grid
from tests.reference.localisation import gaussian


def test_change_is_outside_the_prediction_interval():
    before = np.array([1.0, 2.0, 3.0])  # mean 2, standard deviation 1
    edge = 4.303 * math.sqrt(4 / 3)
    assert not outside_interval(2 + edge - 1e-6, before)
    assert outside_interval(2 + edge + 1e-6, before)
    assert outside_interval(2 - edge - 1e-6, before)
    assert not outside_interval(100.0, before[:1]), "one seed has no spread"


@pytest.mark.parametrize("size", [0.3, 1.0, 5000.0])
def test_rounding_is_no_change_if_all_copies_are_equal(size):
    before = np.full(3, size)
    assert not outside_interval(size + 1e-10 * max(size, 1), before)
    assert outside_interval(size + 1e-8 * max(size, 1), before)


def make_network(method="niff", seed=0, network="mixer[depth=1,width=8]", size=(12, 12)):
    known = {entry.name: entry for entry in methods.catalogue()}
    planned = cells(grid((method,), (size,), level="model", networks=(network,), seeds=(seed,)), known)
    return Network(next(iter(planned)), size, 4)


def with_saved_weights(network, path, change=lambda module: None):
    """Return the network with a file of its initial weights, after a change."""
    module = network.untrained_module(network.cell.seed)
    with torch.no_grad():
        change(module)
    torch.save(module.state_dict(), path)
    return Network(network.cell, network.size, network.classes, data="drawn", weights=path, epoch=3)


def narrow_kernels(module):
    """Multiply the operator's kernels by a Gaussian of width 1 px."""
    weight = module.blocks[0].operator.weight
    weight.mul_(torch.from_numpy(gaussian(weight.shape[-1], 1.0)).float())


def test_verdict_of_narrowed_unchanged_and_untrained_kernels(tmp_path):
    network = make_network("dwconv13")
    narrowed = with_saved_weights(network, tmp_path / "a", narrow_kernels)
    unchanged = with_saved_weights(network, tmp_path / "b")
    (narrow,), (same,), (untrained,) = (measure_layers([each], 4) for each in (narrowed, unchanged, network))
    assert (narrow.verdict, same.verdict, untrained.verdict) == ("smaller", "no significant change", "")
    assert narrow.change("delta_share") == 1
    assert len(narrow.untrained) == 4
    (single,) = measure_layers([narrowed], 1)
    assert single.verdict == "not tested: needs two untrained seeds"


def test_untrained_copies_are_built_from_the_seeds():
    network = make_network(seed=7)
    (layer,) = measure_layers([network], 2)
    for seed, copy in enumerate(layer.untrained):
        workload = Workload(replace(network.cell, seed=seed))
        torch.manual_seed(seed)
        module = workload.network(4, 3, network.size).blocks[0].operator.double()
        assert copy.values["rms_radius"] == pytest.approx(measures.rms_radius(module.kernel().detach().numpy()).mean(), rel=1e-12)


def test_untrained_copies_have_no_published_weights(monkeypatch):
    plain, published = (make_network("original", 3, f"test_resnet[{options}where=dense]") for options in ("", "pretrained=True,"))
    expected = measure_layers([plain], 1)
    monkeypatch.setattr(Network, "module", lambda self: self.untrained_module(7))  # no download
    layers = measure_layers([published], 1)
    assert {layer.verdict for layer in layers} == {"not tested: needs two untrained seeds"}
    assert {layer.verdict for layer in expected} == {""}
    for layer, other in zip(layers, expected, strict=True):
        assert layer.untrained[0].values == other.untrained[0].values
    assert any(layer.measured.mean("rms_radius") != layer.untrained[0].values["rms_radius"] for layer in layers)


def test_rank_bound_is_that_of_the_decomposed_kernels(monkeypatch):
    monkeypatch.setattr(measures, "SAMPLE", 5)
    (layer,) = layers = measure_layers([make_network("dwconv7")], 1)
    assert (layer.bank.rank_bound, layer.measured.decomposed, layer.measured.rank, layer.rank_bound) == (8, 5, 5, 5)
    page = text.page(layers, 1, None)
    assert "5 of 5<sup>1</sup>" in page
    assert tables.layers_table(layers)["rank_bound"].tolist() == [5]
    assert tables.components_table(layers)["bound"].unique().tolist() == [5]


def test_networks_of_the_same_name_have_distinct_titles(tmp_path):
    """The two trainings differ only in their protocol."""
    network = make_network("niff")
    saved = {digits: with_saved_weights(network, tmp_path / f"{digits}.pt") for digits in ("aa11", "bb22")}
    both = [replace(each, epochs=3, protocol_digest=digits) for digits, each in saved.items()]
    findings = analysis.analyse(both, 1, notebook=True)
    for name in ("layers", "mass", "pca", "measures", "notebook"):
        assert findings.tables[name]["specimen"].nunique() == 2, name
    headings = [line for line in findings.text.splitlines() if line.startswith("## mixer")]
    assert [heading.rpartition(", ")[2] for heading in headings] == ["aa11", "bb22"]
    titles = titled([network, replace(network, size=(8, 8))]).values()
    assert [title.rpartition(", ")[2] for title in titles] == ["12x12", "8x8"]


# failures


def out_of_memory(*_):
    raise torch.OutOfMemoryError("no memory")


def test_failing_network_is_a_row_and_the_others_are_measured(monkeypatch):
    module = Network.module
    monkeypatch.setattr(Network, "module", lambda self: out_of_memory() if self.cell.method == "niff_full" else module(self))
    findings = analysis.analyse([make_network("niff_full"), make_network("niff")], 1, notebook=True)
    assert findings.tables["layers"]["status"].tolist() == ["oom", "ok"]
    recipe = findings.tables["notebook"].drop_duplicates("specimen")
    assert recipe["status"].tolist() == ["oom", "ok"]
    assert recipe["reason"].tolist()[0] == "no memory"
    assert findings.text.count("*oom*") == 2


def test_failing_untrained_copy_is_noted(monkeypatch):
    untrained_module = Network.untrained_module

    def build(self, seed=0):
        return out_of_memory() if seed == 1 else untrained_module(self, seed)

    monkeypatch.setattr(Network, "untrained_module", build)
    (layer,) = measure_layers([make_network()], 3)
    assert len(layer.untrained) == 2
    assert layer.bank.note == "untrained copy of seed 1: oom: no memory"


def test_layer_whose_decomposition_fails_is_a_row(monkeypatch):
    def diverges(rows):
        raise np.linalg.LinAlgError("no convergence")

    monkeypatch.setattr(measures, "pca", diverges)
    (layer,) = measure_layers([make_network()], 1)
    assert (layer.measured, layer.bank.status) == (None, "error")
    assert layer.bank.reason.startswith("LinAlgError: no convergence")


# the command


def analyze(*args):
    return CliRunner().invoke(main, ["analyze", "localisation", *args], catch_exceptions=False)


@pytest.fixture
def weights_folder(tmp_path):
    """Return a folder with a file as saved by a training, with the initial weights of seed 9."""
    network = make_network(network="mixer[depth=2,width=8]", size=(8, 8))
    job = Job(network.cell, "accuracy", Training(data="digits", res=8))
    fields = {"classes": network.classes, "channels": network.channels, "epoch": 1, "epochs": 1}
    path = tmp_path / "run" / f"one{SUFFIX}"
    path.parent.mkdir()
    torch.save({"job": job.to_json(), **fields, "weights": network.untrained_module(9).state_dict()}, path)
    return path.parent


def test_command_on_saved_weights(weights_folder, tmp_path):
    out = tmp_path / "found"
    result = analyze(str(weights_folder), "--notebook", "--seeds", "3", "-o", str(out))
    assert result.exit_code == 0, result.output
    rows = pd.read_csv(out / "layers.csv")
    assert rows["layer"].tolist() == ["blocks.0.operator", "blocks.1.operator"]
    assert rows["map"].tolist() == ["8x8", "8x8"]
    assert (rows["verdict"] != "").all()
    mass = pd.read_csv(out / "mass.csv")
    last = mass[mass["window"] == 9]
    assert len(last) == 4
    assert last[["mean", "untrained", "uniform", "uniform_map"]].to_numpy() == pytest.approx(1.0)
    assert {"measures.csv", "pca.csv", "notebook.csv", "ANALYSIS.md"} <= {path.name for path in out.iterdir()}
    assert {path.stem for path in (out / "figures").iterdir()} == {"mass", "kernels", "spectra"}
    page = (out / "ANALYSIS.md").read_text()
    assert "Layers by change of k_eff(.9)" in page
    known = json.loads((out / "analysis.json").read_text())["columns"]
    explained = " ".join([*known, *known.values()])
    for table in out.glob("*.csv"):
        for column in pd.read_csv(table).columns:
            assert column.removesuffix("_untrained") in explained, (table.name, column)


def test_networks_of_a_library():
    known = {entry.name: entry for entry in methods.catalogue()}
    layers = measure_layers(by_name(["test_convnext"], ["niff"], [(32, 32)], known), 1)
    original, replaced = ([layer for layer in layers if layer.network.cell.method == name] for name in ("original", "niff"))
    assert {layer.bank.operator for layer in original} == {"Conv2d"}
    assert {layer.bank.operator for layer in replaced} == {"Conv2d", "Niff"}
    assert [layer.bank.layer for layer in original] == [layer.bank.layer for layer in replaced]
    assert all(layer.measured and len(layer.untrained) == 1 for layer in layers)
    first = replaced[1]
    assert (first.bank.layer, first.bank.size, first.bank.taps.shape) == ("stages.0.blocks.0.conv_dw", (8, 8), (8, 8))
    drawn = figures.draw(layers)
    assert list(drawn) == ["mass", "kernels", "spectra"]
    for figure in drawn.values():
        titles = [" ".join(ax.get_title("left").split()) for ax in figure.axes]
        halves = [[title.split(": ")[1].split(",")[0] for title in half] for half in (titles[:3], titles[3:6])]
        assert halves[0] == halves[1], "the same layers of both"
        assert all("conv_dw" in name for name in halves[0]), "no stems"
        assert titles[0].endswith("map 8x8, kernel 7x7 px")
        assert titles[3].endswith("map 8x8, kernel 8x8 px")
        assert f"6 of {len(layers)} layers" in " ".join(figure.get_supxlabel().split())


def test_more_networks_than_fit_into_one_figure():
    layers = measure_layers([make_network(name) for name in ("niff", "dwconv7", "dwconv13", "conv3")], 1)
    drawn = figures.draw(layers)
    assert list(drawn) == ["mass", "kernels", "spectra", "mass-2", "kernels-2", "spectra-2"]
    assert [len(drawn[name].axes) for name in ("kernels", "kernels-2")] == [3, 1]


def test_methods_without_kernels_are_rows(tmp_path):
    findings = analysis.analyse([make_network("afno"), make_network("dynamic_filter")], 1, notebook=True)
    assert findings.tables["layers"]["status"].tolist() == ["unsupported", "unsupported"]
    assert list(findings.tables) == ["layers"]
    assert findings.figures == {}
    assert "its filter depends on the image" in findings.text
    assert "none of these networks has one" in findings.text


def test_network_that_a_method_does_not_support_is_a_row():
    findings = analysis.analyse([make_network("afno", network="mixer[width=12]")], 1, notebook=False)
    (row,) = findings.tables["layers"].to_dict("records")
    assert (row["status"], row["reason"]) == ("unsupported", "8 blocks do not divide 12 channels")


def test_weights_of_another_network_are_an_error(tmp_path):
    path = tmp_path / "other.pt"
    torch.save({"weights": {"head.weight": torch.zeros(1)}}, path)
    result = analyze("--backbone", "mixer", "--methods", "niff", "--res", "8", "--load", str(path), "-o", str(tmp_path / "found"))
    assert result.exit_code == 2
    assert "does not fit" in result.output
    assert not (tmp_path / "found").exists()
