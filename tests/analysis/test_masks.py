"""Learned kernel sizes and frequencies: against the layer's own crop, against pure sines, and end to end."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import methods
from bench.analysis.masks import aliasing
from bench.analysis.masks import analysis as masks
from bench.analysis.network import Network, kept_in, named
from bench.cli import main
from bench.plan import accuracy_cell
from bench.spec import Cell, Job, Training
from bench.training.weights import stem
from methods.flexconv import DepthwiseFlexConv, FlexConv
from methods.parts.antialias import alias_penalty
from methods.parts.kernel_nets import KernelNet

TINY = "mixer[depth=1,width=4]"
PROTOCOL = Training(res=8, epochs=1)


class Wave(KernelNet):
    """sin(pi f . p), of f cycles over the two units of the grid along either axis, f cycles per unit being f / 2."""

    def __init__(self, rows, columns):
        super().__init__(1, 1)
        self.cycles = rows, columns
        self.out_weight.data.fill_(1)
        self.out_bias.data.zero_()

    def hidden_maps(self, rows, columns):
        return torch.sin(math.pi * (self.cycles[0] * rows[:, None] + self.cycles[1] * columns))[None].float()


def layer(**options):
    torch.manual_seed(0)
    return FlexConv(2, 33, hidden=4, **options)


def waves(rows, columns):
    """A layer on a grid of 33 points, which holds 16 cycles over two units, that draws one pure wave."""
    made = layer(mask=False, crop=False)
    made.net = Wave(rows, columns)
    return made


@pytest.mark.parametrize(
    ("rows", "columns", "above"), [(0, 5, 0), (13, 13, 0), (3, 19, 1), (30, 2, 1), (0, 60, 1), (14, 0, 0), (0, 18, 1)]
)
def test_a_wave_lies_below_or_above_the_nyquist_frequency(rows, columns, above):
    found = aliasing.content(waves(rows, columns))
    assert found.above == pytest.approx(above, abs=1e-6)
    assert found.share.sum() == pytest.approx(1)
    peak = found.frequency[found.share.argmax()]
    assert peak == pytest.approx(max(rows, columns) / 16)
    assert found.reach == pytest.approx(peak + 1 / 16, abs=1 / 16 + 1e-9), "a Hann window's main lobe"


def test_the_nyquist_frequency_itself_counts_half_as_above():
    """A Hann window spreads a frequency over three steps of energy 1 : 4 : 1, of which what is above counts."""
    assert aliasing.content(waves(0, 16)).above == pytest.approx(1 / 6, abs=1e-6)


def test_a_wave_beyond_the_fine_grid_folds_back():
    found = aliasing.content(waves(0, 128 - 5))
    assert found.above == pytest.approx(0, abs=1e-6)
    assert aliasing.content(waves(0, 128 - 5), oversampling=16).above == pytest.approx(1, abs=1e-6)


def test_the_energy_is_that_of_all_kernels_together():
    made = layer(sigma=0.3)
    fine = layer(sigma=0.3, kernel_size=129, crop=False)
    fine.load_state_dict(made.state_dict())
    kernels = fine.kernels().detach().double()[:, :-1, :-1].numpy()
    window = np.sin(np.pi * np.arange(128) / 128) ** 2
    energy = (np.abs(np.fft.fft2(kernels * window[:, None] * window)) ** 2).sum(0)
    cycles = np.abs(np.fft.fftfreq(128, 1 / 128))
    beyond = np.maximum(cycles[:, None], cycles) > 16
    assert aliasing.content(made).above == pytest.approx(energy[beyond].sum() / energy.sum(), rel=1e-4)


def test_content_leaves_the_layer_as_it_is():
    made = layer()
    before = made.cropped(), made.horizon, made.crop
    aliasing.content(made)
    assert (made.cropped(), made.horizon, made.crop) == before


def test_the_bound_is_what_the_penalty_reckons_with():
    """ "summed", the penalty is the squared excess of the sum over the Nyquist frequency; the mask counts where it is a target."""
    made = layer()
    found, nyquist = aliasing.bound(made), 8.0
    summed = [float(alias_penalty(made.net, made.mask, 33, target, "summed").detach()) for target in ("gabor", "gabor+mask")]
    assert (found.filters - 1) * nyquist == pytest.approx(math.sqrt(summed[0]), rel=1e-5)
    mask = 2 / 0.075 / (2 * math.pi)
    assert found.mask * nyquist == pytest.approx(mask, rel=1e-5)
    assert found.kernel == pytest.approx(found.filters + found.mask)


def test_a_net_without_filters_has_no_bound_but_a_spectrum():
    made = layer(kernel_net="siren")
    assert aliasing.bound(made) is None
    row = masks.frequencies(made, None, aliasing.content(made))
    assert row["bound"] is None and 0 <= row["above"] <= 1


@pytest.mark.parametrize("kind", [FlexConv, DepthwiseFlexConv])
@pytest.mark.parametrize(("mean", "sigma"), [((0, 0), (0.075, 0.075)), ((0.1, -0.2), (0.2, -0.3)), ((0, 0), (0.5, 0.1))])
def test_sizes_are_those_of_the_layers_crop(kind, mean, sigma):
    made = kind(2, 33, hidden=4, learn_mean=True)
    with torch.no_grad():
        made.mask.mean.copy_(torch.tensor(mean, dtype=torch.float32))
        made.mask.sigma.copy_(torch.tensor(sigma))
    row = masks.sizes(made)
    assert (row["kernel_rows"], row["kernel_columns"]) == made.cropped() == made.kernel().shape[-2:]
    assert row["share_rows"] == made.cropped()[0] / 33
    axis = torch.linspace(-3, 3, 60001, dtype=torch.float64)
    values = made.mask(axis, torch.tensor([mean[1]], dtype=torch.float64))[:, 0]
    assert row["mask_rows"] == pytest.approx(float((values > 0.1).sum()) * 1e-4 * 16, abs=0.01), "steps of 1/16 are pixels"
    assert (row["sigma_rows"], row["mean_columns"]) == pytest.approx((sigma[0], mean[1]))


def test_a_kernel_without_a_mask_is_as_large_as_its_horizon():
    row = masks.sizes(layer(mask=False, crop=False))
    assert (row["kernel_rows"], row["share_columns"], row["sigma_rows"], row["mask_rows"]) == (33, 1, None, None)


def kept(folder, method="flexconv", epochs=(0, 1), protocol=PROTOCOL):
    """Files as a training leaves them, with masks that grow."""
    cell = accuracy_cell(Cell(method, 8, 8), protocol, TINY)
    network = Network(replace(cell, channels=1), (8, 8), 3, 1).fresh()
    folder.mkdir(exist_ok=True)
    for epoch in epochs:
        state = {name: value + 0.2 * epoch * name.endswith("mask.sigma") for name, value in network.state_dict().items()}
        job = Job(cell, "accuracy", protocol)
        facts = {"job": job.to_json(), "classes": 3, "channels": 1, "epoch": epoch, "epochs": protocol.epochs}
        torch.save({**facts, "weights": state}, folder / f"{stem(job)}-epoch{epoch:03d}.weights.pt")


def run(*words):
    return CliRunner().invoke(main, ["analyze", "masks", *map(str, words)])


def test_trainings_are_followed_from_their_first_epoch_to_their_last(tmp_path):
    for method in ("flexconv", "flexconv_dw"):
        kept(tmp_path, method, epochs=(1, 0))
    found = masks.analyse(kept_in([tmp_path]))
    sizes = found.tables["masks"]
    assert sizes[["epoch", "kernel_rows", "horizon"]].to_numpy().tolist() == [[0, 3, 9], [1, 5, 9]] * 2
    columns = {name for table in found.tables.values() for name in table.columns}
    assert {name.replace("_columns", "_rows") for name in columns} == found.columns.keys()
    assert sorted(found.figures) == [
        f"{kind}-mixer-depth=1-width=4-{method}-digits-seed-0"
        for kind in ("kernels", "sizes", "spectra") for method in ("flexconv", "flexconv-dw")
    ]  # fmt: skip


def test_trainings_that_differ_in_the_protocol_or_the_folder_alone_are_told_apart(tmp_path):
    """One seed, two learning rates, and the second once more elsewhere, where it was killed at epoch 1 of 30."""
    other = replace(PROTOCOL, lr=(1e-3,), epochs=30)
    kept(tmp_path)
    kept(tmp_path, protocol=other)
    kept(tmp_path / "again", protocol=other)
    found = masks.analyse(kept_in([tmp_path]))
    table = found.tables["masks"]
    assert table.groupby("protocol", sort=False)["epochs"].agg(list).tolist() in ([[1] * 2, [30] * 4], [[30] * 4, [1] * 2])
    digits = dict(zip(table["epochs"], table["protocol"].str[-6:]))
    assert len(set(digits.values())) == 2 and len(found.figures) == 9
    title = f"{TINY} + flexconv, digits, seed 0"
    assert f"**{title}, {digits[1]}, epoch 0 → 1 of 1**" in found.text
    for folder in (tmp_path, tmp_path / "again"):
        assert f"**{title}, {digits[30]}, {folder}, epoch 0 → 1 of 30**" in found.text


def test_the_verb_writes_tables_figures_and_a_page(tmp_path):
    for method in ("flexconv", "dwconv3"):
        kept(tmp_path / "weights", method)
    result = run(tmp_path / "weights", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "out" / "ANALYSIS.md").read_text()
    assert f"Without a FlexConv layer: `{TINY} + dwconv3, digits`" in page
    assert "0.0750 x 0.0750 → 0.275 x 0.275" in page and "3x3 → 5x5" in page
    assert len(pd.read_csv(tmp_path / "out" / "aliasing.csv")) == 2
    assert sorted(path.stem for path in (tmp_path / "out" / "figures").glob("*.png")) == ["kernels", "sizes", "spectra"]


def test_a_flexnet_by_name_is_looked_at_as_it_begins():
    known = {entry.name: entry for entry in methods.catalogue()}
    found = masks.analyse(named(("flexnet3[width=2,hidden=4]",), (), [(8, 8)], known, classes=3))
    assert len(found.tables["masks"]) == 7, "layers"
    assert list(found.figures) == ["spectra", "kernels"] and "as it begins" in found.text


def test_an_operator_that_cannot_be_had_is_refused(tmp_path):
    result = run("--backbone", "flexnet3[width=2,horizon=4]", "--res", 8, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "kernel_size, the horizon, must be an odd number of at least 3, not 4" in result.output


def test_networks_without_such_a_layer_alone_are_refused(tmp_path):
    result = run("--backbone", TINY, "--methods", "dwconv3,niff", "--res", 8, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert f"no FlexConv layer in {TINY} + dwconv3, {TINY} + niff" in result.output
