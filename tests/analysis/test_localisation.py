"""How large do filters get: networks beside untrained copies of them, and the verb."""

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
from bench.analysis import network as specimen
from bench.analysis.localisation import analysis as localisation
from bench.analysis.localisation import figures as localisation_figures
from bench.analysis.localisation import measures as measured
from bench.analysis.localisation import tables
from bench.analysis.localisation import text as localisation_text
from bench.analysis.localisation.layers import beyond, layers
from bench.cli import main
from bench.plan import Axes, cells
from bench.spec import Job, Training
from bench.training import weights as kept
from bench.workload.build import Workload
from tests.reference.localisation import gaussian


def test_a_difference_lies_outside_the_prediction_interval():
    before = np.array([1.0, 2.0, 3.0])  # mean 2, standard deviation 1
    edge = 4.303 * math.sqrt(4 / 3)
    assert not beyond(2 + edge - 1e-6, before)
    assert beyond(2 + edge + 1e-6, before)
    assert beyond(2 - edge - 1e-6, before)
    assert not beyond(100.0, before[:1]), "one seed has no spread"


@pytest.mark.parametrize("size", [0.3, 1.0, 5000.0])
def test_rounding_is_no_difference_where_all_copies_are_alike(size):
    before = np.full(3, size)
    assert not beyond(size + 1e-10 * max(size, 1), before)
    assert beyond(size + 1e-8 * max(size, 1), before)


def tiny(method="niff", seed=0, network="mixer[depth=1,width=8]", size=(12, 12)):
    known = {entry.name: entry for entry in methods.catalogue()}
    axes = Axes((method,), (size,), level="model", networks=(network,), seeds=(seed,))
    return specimen.Network(next(iter(cells(axes, known))), size, 4)


def stored(one, path, change=lambda network: None):
    """A specimen with the weights of its own beginning, after a change."""
    network = one.fresh(one.cell.seed)
    with torch.no_grad():
        change(network)
    torch.save(network.state_dict(), path)
    return specimen.Network(one.cell, one.size, one.classes, data="drawn", weights=path, epoch=3)


def narrowed(network):
    """The operator's kernels multiplied by a Gaussian of 1 px."""
    weight = network.blocks[0].operator.weight
    weight.mul_(torch.from_numpy(gaussian(weight.shape[-1], 1.0)).float())


def test_a_training_that_narrows_kernels_is_told_from_one_that_does_nothing(tmp_path):
    one = tiny("dwconv13")
    changed, same = (stored(one, tmp_path / name, how) for name, how in (("a", narrowed), ("b", lambda network: None)))
    (narrow,), (left,), (fresh,) = (layers([each], 4) for each in (changed, same, one))
    assert (narrow.verdict, left.verdict, fresh.verdict) == ("localises by training", "as at the beginning", "")
    assert narrow.change("delta_share") == 1
    assert len(narrow.untrained) == 4
    (single,) = layers([changed], 1)
    assert single.verdict == "unclear: needs two untrained seeds"


def test_untrained_copies_are_those_of_the_seeds():
    one = tiny(seed=7)
    (layer,) = layers([one], 2)
    for seed, copy in enumerate(layer.untrained):
        own = Workload(one.cell.__class__(**{**one.cell.__dict__, "seed": seed}))
        torch.manual_seed(seed)
        module = own.network(4, 3, one.size).blocks[0].operator.double()
        assert copy.values["rms_radius"] == pytest.approx(measured.radius(module.kernel().detach().numpy()).mean(), rel=1e-12)


def test_untrained_copies_have_no_published_weights(monkeypatch):
    plain, published = (tiny("original", 3, f"test_resnet[{options}where=dense]") for options in ("", "pretrained=True,"))
    expected = layers([plain], 1)
    monkeypatch.setattr(specimen.Network, "network", lambda self: self.fresh(7))  # nothing is fetched
    found = layers([published], 1)
    assert {one.verdict for one in found} == {"unclear: needs two untrained seeds"}
    assert {one.verdict for one in expected} == {""}
    for one, other in zip(found, expected, strict=True):
        assert one.untrained[0].values == other.untrained[0].values
    assert any(one.measured.mean("rms_radius") != one.untrained[0].values["rms_radius"] for one in found)


def test_ranks_are_beside_the_bound_of_the_kernels_that_were_decomposed(monkeypatch):
    monkeypatch.setattr(measured, "SAMPLE", 5)
    (layer,) = found = layers([tiny("dwconv7")], 1)
    assert (layer.bank.rank_bound, layer.measured.m, layer.measured.rank, layer.rank_bound) == (8, 5, 5, 5)
    page = localisation_text.page(found, 1, None)
    assert "5 of 5<sup>1</sup>" in page
    assert tables.layers(found)["rank_bound"].tolist() == [5]
    assert tables.components(found)["bound"].unique().tolist() == [5]


def test_namesakes_are_told_apart(tmp_path):
    """Two trainings that differ in their protocol alone."""
    one = tiny("niff")
    both = [replace(stored(one, tmp_path / f"{word}.pt"), epochs=3, protocol=f"digits at 12, {word}") for word in ("aa11", "bb22")]
    found = localisation.analyse(both, 1, notebook=True)
    for name in ("layers", "mass", "pca", "measures", "notebook"):
        assert found.tables[name]["specimen"].nunique() == 2, name
    headings = [line for line in found.text.splitlines() if line.startswith("## mixer")]
    assert [heading.rpartition(", ")[2] for heading in headings] == ["aa11", "bb22"]
    titles = localisation.named([one, replace(one, size=(8, 8))]).values()
    assert [title.rpartition(", ")[2] for title in titles] == ["12x12", "8x8"]


# failures


def exhausted(one, *_):
    raise torch.OutOfMemoryError("no memory")


def test_a_network_that_fails_is_a_row_and_the_others_go_on(monkeypatch):
    network = specimen.Network.network
    monkeypatch.setattr(specimen.Network, "network", lambda one: exhausted(one) if one.cell.method == "niff_full" else network(one))
    found = localisation.analyse([tiny("niff_full"), tiny("niff")], 1, notebook=True)
    assert found.tables["layers"]["status"].tolist() == ["oom", "ok"]
    recipe = found.tables["notebook"].drop_duplicates("specimen")
    assert recipe["status"].tolist() == ["oom", "ok"]
    assert recipe["reason"].tolist()[0] == "no memory"
    assert found.text.count("*oom*") == 2


def test_an_untrained_copy_that_fails_is_told(monkeypatch):
    fresh = specimen.Network.fresh
    monkeypatch.setattr(specimen.Network, "fresh", lambda one, seed=0: exhausted(one) if seed == 1 else fresh(one, seed))
    (layer,) = layers([tiny()], 3)
    assert len(layer.untrained) == 2
    assert layer.bank.note == "untrained copy of seed 1: oom: no memory"


def test_a_layer_that_cannot_be_decomposed_is_a_row(monkeypatch):
    def diverges(rows):
        raise np.linalg.LinAlgError("no convergence")

    monkeypatch.setattr(measured, "pca", diverges)
    (layer,) = layers([tiny()], 1)
    assert (layer.measured, layer.bank.status) == (None, "error")
    assert layer.bank.reason.startswith("LinAlgError: no convergence")


# the verb


def analyze(*words):
    return CliRunner().invoke(main, ["analyze", "localisation", *words], catch_exceptions=False)


@pytest.fixture
def trained(tmp_path):
    """A file as a training keeps it, its weights those of seed 9."""
    one = tiny(network="mixer[depth=2,width=8]", size=(8, 8))
    job = Job(one.cell, "accuracy", Training(data="digits", res=8))
    facts = {"classes": one.classes, "channels": one.channels, "epoch": 1, "epochs": 1}
    path = tmp_path / "run" / f"one{kept.SUFFIX}"
    path.parent.mkdir()
    torch.save({"job": job.to_json(), **facts, "weights": one.fresh(9).state_dict()}, path)
    return path.parent


def test_the_verb_on_kept_weights(trained, tmp_path):
    out = tmp_path / "found"
    result = analyze(str(trained), "--notebook", "--seeds", "3", "-o", str(out))
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
    assert "as at the beginning" in page or "by training" in page or "wider" in page
    known = json.loads((out / "analysis.json").read_text())["columns"]
    explained = " ".join([*known, *known.values()])
    for table in out.glob("*.csv"):
        for column in pd.read_csv(table).columns:
            assert column.removesuffix("_untrained") in explained, (table.name, column)


def test_networks_of_a_library():
    known = {entry.name: entry for entry in methods.catalogue()}
    found = layers(specimen.named(["test_convnext"], ["niff"], [(32, 32)], known), 1)
    original, swapped = ([one for one in found if one.specimen.cell.method == name] for name in ("original", "niff"))
    assert {one.bank.operator for one in original} == {"Conv2d"}
    assert {one.bank.operator for one in swapped} == {"Conv2d", "Niff"}
    assert [one.bank.layer for one in original] == [one.bank.layer for one in swapped]
    assert all(one.measured and len(one.untrained) == 1 for one in found)
    first = swapped[1]
    assert (first.bank.layer, first.bank.size, first.bank.taps.shape) == ("stages.0.blocks.0.conv_dw", (8, 8), (8, 8))
    pictures = localisation_figures.draw(found)
    assert list(pictures) == ["mass", "kernels", "spectra"]
    for picture in pictures.values():
        titles = [" ".join(ax.get_title("left").split()) for ax in picture.axes]
        halves = [[title.split(": ")[1].split(",")[0] for title in half] for half in (titles[:3], titles[3:6])]
        assert halves[0] == halves[1], "the same layers of each"
        assert all("conv_dw" in name for name in halves[0]), "no stems"
        assert titles[0].endswith("map 8x8, kernel 7x7 px")
        assert titles[3].endswith("map 8x8, kernel 8x8 px")
        assert f"6 of {len(found)} layers" in " ".join(picture.get_supxlabel().split())


def test_more_networks_than_a_picture_holds_have_further_ones():
    found = layers([tiny(name) for name in ("niff", "dwconv7", "dwconv13", "conv3")], 1)
    pictures = localisation_figures.draw(found)
    assert list(pictures) == ["mass", "kernels", "spectra", "mass-2", "kernels-2", "spectra-2"]
    assert [len(pictures[name].axes) for name in ("kernels", "kernels-2")] == [3, 1]


def test_methods_without_kernels_are_rows(tmp_path):
    found = localisation.analyse([tiny("afno"), tiny("dynamic_filter")], 1, notebook=True)
    assert found.tables["layers"]["status"].tolist() == ["unsupported", "unsupported"]
    assert list(found.tables) == ["layers"]
    assert found.figures == {}
    assert "its filter depends on the image" in found.text
    assert "none of these networks has one" in found.text


def test_a_method_that_declines_a_network_is_a_row():
    found = localisation.analyse([tiny("afno", network="mixer[width=12]")], 1, notebook=False)
    (row,) = found.tables["layers"].to_dict("records")
    assert (row["status"], row["reason"]) == ("unsupported", "8 blocks do not divide 12 channels")


def test_bad_weights_end_in_a_sentence(tmp_path):
    path = tmp_path / "other.pt"
    torch.save({"weights": {"head.weight": torch.zeros(1)}}, path)
    result = analyze("--backbone", "mixer", "--methods", "niff", "--res", "8", "--load", str(path), "-o", str(tmp_path / "found"))
    assert result.exit_code == 2
    assert "does not fit" in result.output
    assert not (tmp_path / "found").exists()
