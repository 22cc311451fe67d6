"""Tests of the kernel measures against closed forms and a slow reference, and of the published notebook's recipe."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bench.analysis.localisation import measures, notebook
from bench.analysis.localisation.layers import measure_bank
from methods.niff import Niff
from tests.reference import localisation as oracle
from tests.reference.localisation import gaussian


def random_kernels(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def delta(n):
    kernel = np.zeros((1, n, n))
    kernel[0, n // 2, n // 2] = -3.0
    return kernel


@pytest.mark.parametrize("n", [7, 8])
def test_effective_size_of_a_delta_is_one_pixel(n):
    result = measures.scalar_measures(delta(n))
    assert (measures.mass_ratios(delta(n)) == 1).all()
    assert all(result[name] == 1 for name in result if name.startswith("k_eff"))
    assert (result["rms_radius"], result["delta_share"], result["even_share"], result["odd_share"]) == (0, 1, 1, 0)


@pytest.mark.parametrize(("height", "width"), [(7, 7), (8, 8), (6, 9)])
@pytest.mark.parametrize("p", [1, 2])
def test_uniform_mass_is_the_share_of_taps_in_the_clipped_window(height, width, p):
    expected = []
    for window in range(1, 2 * max(height // 2, width // 2) + 2, 2):
        rows, columns = (min(window // 2, n // 2) + min(window // 2, (n - 1) // 2) + 1 for n in (height, width))
        expected.append(rows * columns / (height * width))
    flat = np.full((1, height, width), -0.3)
    assert measures.mass_ratios(flat, p)[0] == pytest.approx(expected, abs=1e-12)
    assert expected[-1] == 1


def test_uniform_mass_of_a_square_is_k_squared_over_n_squared():
    assert measures.mass_ratios(np.ones((1, 9, 9)))[0] == pytest.approx([k * k / 81 for k in (1, 3, 5, 7, 9)], abs=1e-12)


def test_radius_of_a_gaussian():
    """The square of a Gaussian of width sigma has variance sigma^2 / 2 along each axis."""
    assert measures.rms_radius(gaussian(41, 3.0)) == pytest.approx(3.0, rel=1e-9)


def test_effective_size_of_a_box():
    """A 5 x 5 window holds 25 / 81 of the mass of a 9 x 9 box."""
    box = np.zeros((1, 15, 15))
    box[0, 3:12, 3:12] = 1
    curve = measures.mass_ratios(box)
    assert [int(measures.effective_size(curve, level)[0]) for level in (25 / 81, 0.31, 0.5, 0.75, 0.9, 1.0)] == [5, 7, 7, 9, 9, 9]


@pytest.mark.parametrize("n", [7, 8])
def test_even_and_odd_energy(n):
    """Cosines are even and sines are odd on a circle of n pixels."""
    phase = 2 * np.pi * (np.arange(n) - n // 2) / n
    even = np.cos(phase)[:, None] * np.cos(2 * phase) + 1
    odd = np.sin(phase)[:, None] * np.cos(phase)
    shares = measures.even_share(np.stack((even, odd, 2 * even / np.linalg.norm(even) + odd / np.linalg.norm(odd))))
    assert shares == pytest.approx([1, 0, 0.8], abs=1e-12)


@pytest.mark.parametrize("shape", [(4, 7, 7), (3, 8, 8), (5, 6, 9), (40, 3, 5)])
def test_measures_against_the_slow_reference(shape):
    bank = random_kernels(*shape)
    assert measures.mass_ratios(bank) == pytest.approx(oracle.masses(bank, 1), abs=1e-12)
    assert measures.mass_ratios(bank, 2) == pytest.approx(oracle.masses(bank, 2), abs=1e-12)
    assert measures.rms_radius(bank) == pytest.approx([oracle.radius(kernel) for kernel in bank], abs=1e-12)
    assert measures.even_share(bank) == pytest.approx([oracle.even_share(kernel) for kernel in bank], abs=1e-12)
    assert measures.pca(measures.decomposed_rows(bank))[: shape[0] - 1] == pytest.approx(
        oracle.pca(bank)[: shape[0] - 1], abs=1e-12
    )
    for level in measures.EFFECTIVE_SIZES.values():
        assert measures.effective_size(measures.mass_ratios(bank), level).tolist() == [
            oracle.effective(kernel, level) for kernel in bank
        ]


@pytest.mark.parametrize("scale", [1e-6, -40.0])
def test_measures_do_not_depend_on_the_scale(scale):
    bank = random_kernels(6, 8, 8)
    original, scaled = measure_bank(bank), measure_bank(scale * bank)
    for name, values in original.values.items():
        assert scaled.values[name] == pytest.approx(values, abs=1e-9), name
    assert (original.rank, original.near_zero) == (scaled.rank, scaled.near_zero) == (6, 0)
    assert scaled.pca == pytest.approx(original.pca, abs=1e-9)


def test_rank_and_components_of_a_bank_of_two_kernels():
    a, b = random_kernels(2, 5, 5)
    bank = np.stack([a, b, a + b, a - 3 * b])
    result = measure_bank(bank)
    assert result.rank == 2
    assert result.pca[:2].sum() == pytest.approx(1)
    assert measure_bank(np.stack([a, 2 * a])).rank == 1
    assert measures.rank(np.zeros((2, 4))) == 0


def test_large_banks_are_sampled_for_decomposition(monkeypatch):
    monkeypatch.setattr(measures, "SAMPLE", 5)
    bank = random_kernels(11, 3, 3)
    assert (measures.decomposed_rows(bank) == bank[[0, 2, 5, 7, 10]].reshape(5, 9)).all()
    assert len(measures.decomposed_rows(bank[:5])) == 5
    assert len(measures.decomposed_rows(random_kernels(11, 1, 3))) == 11, "only three taps"


def test_negligible_kernels_are_left_out_and_counted():
    bank = random_kernels(4, 5, 5)
    extended = np.concatenate([bank, np.zeros((1, 5, 5)), 1e-4 * delta(5)])
    result = measure_bank(extended)
    assert result.near_zero == 2
    assert result.values["k_eff_90"].tolist() == measure_bank(bank).values["k_eff_90"].tolist()
    with pytest.raises(ValueError, match="every kernel is zero"):
        measure_bank(np.zeros((3, 5, 5)))


# the published recipe


def official(files, number):
    prefix = f"w.{number}."
    module = Niff(16, 28)
    module.load_official({key.removeprefix(prefix): torch.from_numpy(files[key]) for key in files if key.startswith(prefix)})
    return module.double()


def test_recipe_against_vectors_of_the_notebook(vectors):
    files = vectors("niff/analysis_kmr_pca_c16x2_n28.npz")
    with torch.no_grad():
        stacked = np.concatenate([notebook.recipe_kernels(official(files, number), 28).numpy() for number in (1, 0)])
        kernels = np.concatenate([official(files, number).kernel().numpy() for number in (1, 0)])
    signs = (-1.0) ** np.add.outer(np.arange(28), np.arange(28))
    assert stacked == pytest.approx(kernels * signs, abs=1e-9)
    # the published code rolls the channels twice by half their number
    assert stacked == pytest.approx(files["kernels_notebook"], abs=2e-6 * np.abs(stacked).max())
    recipe, centred = notebook.recipe_mass(stacked), notebook.centred_mass(kernels)
    assert recipe.labels.tolist() == files["kmr_notebook_labels"].tolist()
    assert recipe.mean == pytest.approx(files["kmr_notebook_mean"], abs=1e-6)
    assert recipe.std == pytest.approx(files["kmr_notebook_std"], abs=1e-6)
    assert centred.mean == pytest.approx(files["kmr_centered_mean"], abs=1e-6)
    assert np.minimum(centred.labels, 28).tolist() == files["kmr_centered_sizes"].tolist()
    for bank in (stacked, kernels):
        assert measures.pca(measures.decomposed_rows(bank)) == pytest.approx(files["pca_explained_variance_ratio"], abs=1e-6)
    assert measure_bank(kernels).near_zero == 0


def test_recipe_kernels_against_the_slow_reference():
    module = Niff(3, 9)
    with torch.no_grad():
        result = notebook.recipe_kernels(module.double(), 9).numpy()
    assert result == pytest.approx(oracle.notebook_kernels(module, 9), abs=1e-12)


NAMES = {
    "layer1.2.conv2": ("layer1", 2),
    "stages.0.blocks.1.conv_dw": ("stages.0", 1),
    "blocks.0.operator": ("blocks", 0),
    "features.denseblock2.denselayer11.conv2": ("features.denseblock2", 11),
    "niff": ("niff", 0),
}


@pytest.mark.parametrize("name", NAMES)
def test_stage_and_block_of_a_layer(name):
    assert notebook.stage_and_block(name) == NAMES[name]


def test_components_of_the_recipe_use_all_kernels(monkeypatch):
    network = nn.Sequential(nn.Sequential(Niff(20, 4)))
    (expected,) = notebook.measure_stages(network)
    monkeypatch.setattr(measures, "SAMPLE", 2)
    (stage,) = notebook.measure_stages(network)
    stacked = notebook.recipe_kernels(network[0][0].double(), 4).detach().numpy()
    assert stage.pca.tolist() == expected.pca.tolist()
    assert expected.pca == pytest.approx(oracle.pca(stacked)[:7], abs=1e-12)


def test_later_stages_are_evaluated_at_twice_their_size_without_their_first_block():
    network = nn.Sequential()
    for stage, size in (("layer1", 8), ("layer2", 4)):
        network.add_module(stage, nn.Sequential(*(nn.Sequential(Niff(3, size)) for _ in range(3))))
    first, second = notebook.measure_stages(network)
    assert (first.name, first.layers, first.grid, first.size) == ("layer1", ("layer1.2.0", "layer1.1.0"), 8, (8, 8))
    assert (second.layers, second.grid, second.size) == (("layer2.2.0", "layer2.1.0"), 8, (4, 4))
    assert len(second.recipe.mean) == 5
    assert second.centred.labels.tolist() == [1, 3, 5]
    assert notebook.measure_stages(nn.Sequential(nn.Conv2d(3, 3, 3))) == []
