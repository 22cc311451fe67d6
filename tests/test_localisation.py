"""How large kernels are: closed forms, a slow oracle, the published recipe, every operator's kernel at its place, and the verb."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import methods
from bench.analysis import kernels, localisation, localisation_notebook, specimen
from bench.analysis import localisation_measures as measured
from bench.analysis.localisation_layers import begun, beyond, layers, look
from bench.cli import main
from bench.plan import Axes, cells
from bench.spec import Job, Training
from bench.subject import Subject
from bench.training import kept
from methods.niff import Niff
from tests.reference import localisation as oracle


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def delta(n):
    kernel = np.zeros((1, n, n))
    kernel[0, n // 2, n // 2] = -3.0
    return kernel


def gaussian(n, sigma):
    squares = np.square(np.arange(n) - n // 2)
    return np.exp(-(squares[:, None] + squares) / (2 * sigma**2))[None]


# measures


@pytest.mark.parametrize("n", [7, 8])
def test_a_delta_is_one_pixel_large(n):
    found = measured.measures(delta(n))
    assert (measured.mass(delta(n)) == 1).all()
    assert all(found[name] == 1 for name in found if name.startswith("k_eff"))
    assert (found["rms_radius"], found["delta_share"], found["even_share"], found["odd_share"]) == (0, 1, 1, 0)


@pytest.mark.parametrize(("height", "width"), [(7, 7), (8, 8), (6, 9)])
@pytest.mark.parametrize("p", [1, 2])
def test_even_mass_is_the_number_of_taps_in_the_clipped_window(height, width, p):
    expected = []
    for window in range(1, 2 * max(height // 2, width // 2) + 2, 2):
        rows, columns = (min(window // 2, n // 2) + min(window // 2, (n - 1) // 2) + 1 for n in (height, width))
        expected.append(rows * columns / (height * width))
    flat = np.full((1, height, width), -0.3)
    assert measured.mass(flat, p)[0] == pytest.approx(expected, abs=1e-12)
    assert expected[-1] == 1


def test_even_mass_of_a_square_is_k_squared_over_n_squared():
    assert measured.mass(np.ones((1, 9, 9)))[0] == pytest.approx([k * k / 81 for k in (1, 3, 5, 7, 9)], abs=1e-12)


def test_radius_of_a_gaussian():
    """The square of a Gaussian of width sigma has the variance sigma^2 / 2 along each axis."""
    assert measured.radius(gaussian(41, 3.0)) == pytest.approx(3.0, rel=1e-9)


def test_effective_size_of_a_box():
    """Mass 25 / 81 of 9 x 9 lies in 5 x 5."""
    box = np.zeros((1, 15, 15))
    box[0, 3:12, 3:12] = 1
    curve = measured.mass(box)
    assert [int(measured.effective_size(curve, level)[0]) for level in (25 / 81, 0.31, 0.5, 0.75, 0.9, 1.0)] == [5, 7, 7, 9, 9, 9]


@pytest.mark.parametrize("n", [7, 8])
def test_even_and_odd_energy(n):
    """Cosines are even and sines odd, on a circle of n pixels."""
    phase = 2 * np.pi * (np.arange(n) - n // 2) / n
    even = np.cos(phase)[:, None] * np.cos(2 * phase) + 1
    odd = np.sin(phase)[:, None] * np.cos(phase)
    shares = measured.even_share(np.stack((even, odd, 2 * even / np.linalg.norm(even) + odd / np.linalg.norm(odd))))
    assert shares == pytest.approx([1, 0, 0.8], abs=1e-12)


@pytest.mark.parametrize("shape", [(4, 7, 7), (3, 8, 8), (5, 6, 9)])
def test_against_the_slow_oracle(shape):
    bank = drawn(*shape)
    assert measured.mass(bank) == pytest.approx(oracle.masses(bank, 1), abs=1e-12)
    assert measured.mass(bank, 2) == pytest.approx(oracle.masses(bank, 2), abs=1e-12)
    assert measured.radius(bank) == pytest.approx([oracle.radius(one) for one in bank], abs=1e-12)
    assert measured.even_share(bank) == pytest.approx([oracle.even_share(one) for one in bank], abs=1e-12)
    assert measured.pca(measured.decomposed(bank))[: shape[0] - 1] == pytest.approx(oracle.pca(bank)[: shape[0] - 1], abs=1e-12)
    for level in measured.LEVELS:
        assert measured.effective_size(measured.mass(bank), level).tolist() == [oracle.effective(one, level) for one in bank]


@pytest.mark.parametrize("scale", [1e-6, -40.0])
def test_no_measure_sees_the_scale(scale):
    bank = drawn(6, 8, 8)
    one, other = look(bank), look(scale * bank)
    for name, values in one.values.items():
        assert other.values[name] == pytest.approx(values, abs=1e-9), name
    assert (one.rank, one.near_zero) == (other.rank, other.near_zero) == (6, 0)
    assert other.pca == pytest.approx(one.pca, abs=1e-9)


def test_rank_and_components_of_a_bank_of_two_kernels():
    a, b = drawn(2, 5, 5)
    bank = np.stack([a, b, a + b, a - 3 * b])
    found = look(bank)
    assert found.rank == 2
    assert found.pca[:2].sum() == pytest.approx(1)
    assert look(np.stack([a, 2 * a])).rank == 1
    assert measured.rank(np.zeros((2, 4))) == 0


def test_large_banks_are_decomposed_from_a_sample(monkeypatch):
    monkeypatch.setattr(measured, "SAMPLE", 5)
    bank = drawn(11, 3, 3)
    assert (measured.decomposed(bank) == bank[[0, 2, 5, 7, 10]].reshape(5, 9)).all()
    assert len(measured.decomposed(bank[:5])) == 5
    assert len(measured.decomposed(drawn(11, 1, 3))) == 11, "three taps are few"


def test_nearly_zero_kernels_are_left_out_and_counted():
    bank = drawn(4, 5, 5)
    quiet = np.concatenate([bank, np.zeros((1, 5, 5)), 1e-4 * delta(5)])
    found = look(quiet)
    assert found.near_zero == 2
    assert found.values["k_eff_90"].tolist() == look(bank).values["k_eff_90"].tolist()
    with pytest.raises(ValueError, match="every kernel is zero"):
        look(np.zeros((3, 5, 5)))


# the published recipe


def official(files, number):
    prefix = f"w.{number}."
    module = Niff(16, 28)
    module.load_official({key.removeprefix(prefix): torch.from_numpy(files[key]) for key in files if key.startswith(prefix)})
    return module.double()


def test_notebook_vectors(vectors):
    files = vectors("niff/analysis_kmr_pca_c16x2_n28.npz")
    with torch.no_grad():
        stacked = np.concatenate([localisation_notebook.kernels(official(files, number), 28).numpy() for number in (1, 0)])
        right = np.concatenate([official(files, number).kernel().numpy() for number in (1, 0)])
    signs = (-1.0) ** np.add.outer(np.arange(28), np.arange(28))
    assert stacked == pytest.approx(right * signs, abs=1e-9)
    # the published code rolls the channels twice by half of them
    assert stacked == pytest.approx(files["kernels_notebook"], abs=2e-6 * np.abs(stacked).max())
    recipe, centred = localisation_notebook.curve(stacked), localisation_notebook.centred(right)
    assert recipe.labels.tolist() == files["kmr_notebook_labels"].tolist()
    assert recipe.mean == pytest.approx(files["kmr_notebook_mean"], abs=1e-6)
    assert recipe.std == pytest.approx(files["kmr_notebook_std"], abs=1e-6)
    assert centred.mean == pytest.approx(files["kmr_centered_mean"], abs=1e-6)
    assert np.minimum(centred.labels, 28).tolist() == files["kmr_centered_sizes"].tolist()
    for bank in (stacked, right):
        assert measured.pca(measured.decomposed(bank)) == pytest.approx(files["pca_explained_variance_ratio"], abs=1e-6)
    assert look(right).near_zero == 0


def test_the_recipe_against_the_slow_oracle():
    module = Niff(3, 9)
    with torch.no_grad():
        found = localisation_notebook.kernels(module.double(), 9).numpy()
    assert found == pytest.approx(oracle.notebook_kernels(module, 9), abs=1e-12)


NAMES = {
    "layer1.2.conv2": ("layer1", 2),
    "stages.0.blocks.1.conv_dw": ("stages.0", 1),
    "blocks.0.operator": ("blocks", 0),
    "features.denseblock2.denselayer11.conv2": ("features.denseblock2", 11),
    "niff": ("niff", 0),
}


@pytest.mark.parametrize("name", NAMES)
def test_stage_and_block_of_a_layer(name):
    assert localisation_notebook.place(name) == NAMES[name]


def test_stages_but_the_first_are_probed_at_twice_their_size_without_their_first_block():
    network = nn.Sequential()
    for stage, size in (("layer1", 8), ("layer2", 4)):
        network.add_module(stage, nn.Sequential(*(nn.Sequential(Niff(3, size)) for _ in range(3))))
    first, second = localisation_notebook.stages(network)
    assert (first.name, first.layers, first.grid, first.size) == ("layer1", ("layer1.2.0", "layer1.1.0"), 8, (8, 8))
    assert (second.layers, second.grid, second.size) == (("layer2.2.0", "layer2.1.0"), 8, (4, 4))
    assert len(second.recipe.mean) == 5
    assert second.centred.labels.tolist() == [1, 3, 5]
    assert localisation_notebook.stages(nn.Sequential(nn.Conv2d(3, 3, 3))) == []


# kernels at their place

CORRELATIONS = {
    "dwconv7": {},
    "conv3": {},
    "dwconv31": {},
    "dwconv_full": {},
    "flexconv": {"sigma": 0.3},
    "flexconv_dw": {"sigma": 0.3},
    "shared_basis": {},
    "global_filter": {},
}
CONVOLUTIONS = {"niff": {}, "niff_full": {}, "niff_big": {}, "niff_split": {}}


def built(name, options, size):
    torch.manual_seed(0)
    return methods.get(name).build(4, size, **options).double().eval()


def response(module, size):
    """To a unit impulse at the centre of each input channel, less that to nothing: (I, O, H, W)."""
    images = torch.zeros(4, 4, *size, dtype=torch.float64)
    images[range(4), range(4), size[0] // 2, size[1] // 2] = 1
    with torch.no_grad():
        return (module(images) - module(torch.zeros_like(images))).numpy()


@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
@pytest.mark.parametrize("name", [*CORRELATIONS, *CONVOLUTIONS])
def test_kernels_are_impulse_responses(name, size):
    """On the map itself: what lies further out than the map is cannot be seen from its centre, but for a circular filter."""
    module = built(name, CORRELATIONS.get(name, {}), size)
    inside = module
    if name == "flexconv_dw":
        module.pointwise = nn.Identity()
    if name == "niff_split":
        module.mix = nn.Identity()
    seen = response(module, size)
    bank = kernels.bank("", inside, [size])
    expected = oracle.placed(bank.kernels, size, turned=name in CORRELATIONS)
    depthwise = len(bank.kernels) == 4
    got = np.stack([seen[c, c] for c in range(4)]) if depthwise else seen.transpose(1, 0, 2, 3).reshape(16, *size)
    assert bank.status == "ok"
    assert got == pytest.approx(expected, abs=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["niff", "niff_full", "niff_big", "global_filter"])
@pytest.mark.parametrize("size", [(8, 8), (9, 9)])
def test_circular_kernels_are_as_large_as_the_map(name, size):
    bank = kernels.bank("", built(name, {}, size), [size])
    assert bank.kernels.shape[1:] == bank.taps.shape == bank.field == size
    assert (bank.taps == 1).all()


@pytest.mark.parametrize(("name", "options", "bound"), [("niff", {}, 9), ("niff_full", {}, 17), ("niff", {"hidden": (8, 2)}, 5)])
def test_niff_has_exactly_the_rank_of_its_network(name, options, bound):
    module = methods.get(name).build(20, 12, **options)
    bank = kernels.bank("", module, [(12, 12)])
    assert (look(bank.kernels).rank, bank.rank_bound) == (bound, bound)


def test_flexconv_has_the_rank_of_its_kernel_net():
    bank = kernels.bank("", methods.get("flexconv").build(5, 15, hidden=4, sigma=0.5), [(15, 15)])
    assert (look(bank.kernels).rank, bank.rank_bound) == (5, 5)


def test_kernels_are_cut_to_what_can_touch_the_map():
    module = methods.get("dwconv31").build(3, 6)
    bank = kernels.bank("", module, [(6, 8)])
    assert bank.kernels.shape == (3, 11, 15)
    assert (bank.kernels[:, 5, 7] == module.weight[:, 0, 15, 15].detach().numpy()).all()
    assert bank.field == (11, 15)


def test_plain_convolutions_strided_dilated_and_even():
    strided = nn.Conv2d(3, 8, 7, stride=2, padding=3)
    bank = kernels.bank("", strided, [(32, 32)])
    assert (bank.n, bank.taps.shape, bank.field, bank.note) == (24, (7, 7), (32, 32), "stride 2")
    dilated = kernels.bank("", nn.Conv2d(2, 2, 3, dilation=2, bias=False), [(9, 9)])
    assert dilated.taps.shape == (5, 5)
    assert dilated.taps.sum() == 9
    assert (dilated.kernels[:, 1::2] == 0).all()
    even = kernels.bank("", nn.Conv2d(2, 2, (2, 1), stride=2), [(9, 9)])
    assert even.taps.tolist() == [[1], [1], [0]]


class Twice(nn.Module):
    """A network with everything that has no kernels to show."""

    def __init__(self):
        super().__init__()
        self.once, self.same = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.pointwise, self.unused = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 5)
        self.afno, self.dynamic = methods.get("afno").build(8, 8), methods.get("dynamic_filter").build(8, 8)

    def forward(self, x):
        x = self.same(self.once(x))
        return self.dynamic(self.afno(self.same(self.pointwise(x[..., ::2, ::2]))))


def test_every_operator_is_listed_with_the_map_it_meets():
    network = Twice()
    met = kernels.maps(network, 3, (16, 16))
    assert met["same"] == [(16, 16), (8, 8)]
    found = {bank.layer: bank for bank in kernels.banks(network, met)}
    assert list(found) == ["once", "same", "unused", "afno", "dynamic"]
    assert {name: bank.status for name, bank in found.items()} == {
        "once": "ok",
        "same": "ok",
        "unused": "skipped",
        "afno": "unsupported",
        "dynamic": "unsupported",
    }
    assert found["dynamic"].reason == "its filter depends on the image"
    assert found["same"].note == "meets maps of 16x16, 8x8"


def test_a_kernel_of_another_map_size_says_so():
    assert "8x8, for which it was built" in kernels.bank("", Niff(3, 8), [(12, 12)]).note
    assert kernels.bank("", Niff(3, 8), [(8, 8)]).note == ""


def test_kernels_that_are_not_finite_are_an_error():
    module = nn.Conv2d(3, 3, 3)
    module.weight.data[0, 0, 0, 0] = math.nan
    bank = kernels.bank("", module, [(8, 8)])
    assert (bank.status, bank.reason, len(bank.kernels)) == ("error", "a kernel is not finite", 0)


# against untrained copies


def test_a_difference_lies_outside_the_prediction_interval():
    before = np.array([1.0, 2.0, 3.0])  # mean 2, standard deviation 1
    edge = 4.303 * math.sqrt(4 / 3)
    assert not beyond(2 + edge - 1e-6, before)
    assert beyond(2 + edge + 1e-6, before)
    assert beyond(2 - edge - 1e-6, before)
    assert not beyond(100.0, before[:1]), "one seed has no spread"


def tiny(method="niff", seed=0, network="mixer[depth=1,width=8]", size=(12, 12)):
    known = {entry.name: entry for entry in methods.catalogue()}
    axes = Axes((method,), (size,), level="model", networks=(network,), seeds=(seed,))
    return specimen.Specimen(next(iter(cells(axes, known))), size, 4)


def stored(one, path, change=lambda network: None):
    """A specimen with the weights of its own beginning, after a change."""
    network = one.fresh(one.cell.seed)
    with torch.no_grad():
        change(network)
    torch.save(network.state_dict(), path)
    return specimen.Specimen(one.cell, one.size, one.classes, data="drawn", weights=path, epoch=3)


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
        own = Subject(one.cell.__class__(**{**one.cell.__dict__, "seed": seed}))
        torch.manual_seed(seed)
        module = own.network(4, 3, one.size).blocks[0].operator.double()
        assert copy.values["rms_radius"] == pytest.approx(measured.radius(module.kernel().detach().numpy()).mean(), rel=1e-12)


def test_untrained_copies_have_no_published_weights():
    found = begun(tiny("original", 3, "resnet18[pretrained=True,where=dense]"))
    assert (found.cell.network, found.cell.seed, found.weights) == ("resnet18[where=dense]", 0, None)


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
    assert all(one.look and len(one.untrained) == 1 for one in found)
    first = swapped[1]
    assert (first.bank.layer, first.bank.size, first.bank.taps.shape) == ("stages.0.blocks.0.conv_dw", (8, 8), (8, 8))


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
