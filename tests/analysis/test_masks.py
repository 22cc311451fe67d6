"""Tests of learned kernel sizes and frequencies: against the layer's own crop, against pure sines, and end to end."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import methods
from bench.analysis.masks import aliasing, analysis
from bench.analysis.network import Network, by_name, from_weights
from bench.cli import main
from bench.plan import accuracy_cell
from bench.report.blocks import Bold
from bench.report.markdown import inline
from bench.spec import Cell, Job, Training
from bench.training.weights import stem
from methods.flexconv import DepthwiseFlexConv, FlexConv
from methods.parts.antialias import PenaltyForm, alias_penalty
from methods.parts.kernel_nets import KernelNet

TINY = "mixer[depth=1,width=4]"
PROTOCOL = Training(res=8, epochs=1)


class Wave(KernelNet):
    """sin(pi f . p): f cycles over the two units of the grid along an axis, or f / 2 cycles per unit."""

    def __init__(self, rows, columns):
        super().__init__(1, 1)
        self.cycles = rows, columns
        self.out_weight.data.fill_(1)
        self.out_bias.data.zero_()

    def hidden_maps(self, rows, columns):
        return torch.sin(math.pi * (self.cycles[0] * rows[:, None] + self.cycles[1] * columns))[None].float()


def make_layer(**options):
    torch.manual_seed(0)
    return FlexConv(2, 33, hidden=4, **options)


def wave_layer(rows, columns):
    """Return a layer whose kernel is one pure wave, on a grid of 33 points, whose Nyquist frequency is 16 cycles over two units."""
    layer = make_layer(mask=False, crop=False)
    layer.net = Wave(rows, columns)
    return layer


@pytest.mark.parametrize(
    ("rows", "columns", "above"), [(0, 5, 0), (13, 13, 0), (3, 19, 1), (30, 2, 1), (0, 60, 1), (14, 0, 0), (0, 18, 1)]
)
def test_wave_is_below_or_above_the_nyquist_frequency(rows, columns, above):
    spectrum = aliasing.energy_spectrum(wave_layer(rows, columns))
    assert spectrum.above == pytest.approx(above, abs=1e-6)
    assert spectrum.share.sum() == pytest.approx(1)
    peak = spectrum.frequency[spectrum.share.argmax()]
    assert peak == pytest.approx(max(rows, columns) / 16)
    assert spectrum.frequency_99 == pytest.approx(peak + 1 / 16, abs=1 / 16 + 1e-9), "a Hann window's main lobe"


def test_share_above_for_a_wave_at_the_nyquist_frequency():
    """A Hann window spreads a frequency over three steps of energy 1 : 4 : 1, of which one is above."""
    assert aliasing.energy_spectrum(wave_layer(0, 16)).above == pytest.approx(1 / 6, abs=1e-6)


def test_wave_beyond_the_fine_grid_is_aliased():
    spectrum = aliasing.energy_spectrum(wave_layer(0, 128 - 5))
    assert spectrum.above == pytest.approx(0, abs=1e-6)
    assert aliasing.energy_spectrum(wave_layer(0, 128 - 5), oversampling=16).above == pytest.approx(1, abs=1e-6)


def test_energy_is_summed_over_all_kernels():
    layer = make_layer(sigma=0.3)
    fine = make_layer(sigma=0.3, kernel_size=129, crop=False)
    fine.load_state_dict(layer.state_dict())
    kernels = fine.kernels().detach().double()[:, :-1, :-1].numpy()
    window = np.sin(np.pi * np.arange(128) / 128) ** 2
    energy = (np.abs(np.fft.fft2(kernels * window[:, None] * window)) ** 2).sum(0)
    cycles = np.abs(np.fft.fftfreq(128, 1 / 128))
    above = np.maximum(cycles[:, None], cycles) > 16
    assert aliasing.energy_spectrum(layer).above == pytest.approx(energy[above].sum() / energy.sum(), rel=1e-4)


def test_spectrum_does_not_change_the_layer():
    layer = make_layer()
    before = layer.cropped(), layer.horizon, layer.crop
    aliasing.energy_spectrum(layer)
    assert (layer.cropped(), layer.horizon, layer.crop) == before


def test_bound_agrees_with_the_penalty():
    """With "summed" the penalty is the squared excess of the sum over Nyquist, including the mask if it is a target."""
    layer = make_layer()
    bound, nyquist = aliasing.frequency_bound(layer), 8.0
    forms = [PenaltyForm(target, "summed") for target in ("gabor", "gabor+mask")]
    summed = [float(alias_penalty(layer.net, layer.mask, 33, form).detach()) for form in forms]
    assert (bound.filters - 1) * nyquist == pytest.approx(math.sqrt(summed[0]), rel=1e-5)
    mask = 2 / 0.075 / (2 * math.pi)
    assert bound.mask * nyquist == pytest.approx(mask, rel=1e-5)
    assert bound.kernel == pytest.approx(bound.filters + bound.mask)


def test_kernel_network_without_filters_has_a_spectrum_but_no_bound():
    layer = make_layer(kernel_net="siren")
    assert aliasing.frequency_bound(layer) is None
    row = analysis.frequencies(layer, None, aliasing.energy_spectrum(layer))
    assert row["bound"] is None and 0 <= row["above"] <= 1


@pytest.mark.parametrize("kind", [FlexConv, DepthwiseFlexConv])
@pytest.mark.parametrize(("mean", "sigma"), [((0, 0), (0.075, 0.075)), ((0.1, -0.2), (0.2, -0.3)), ((0, 0), (0.5, 0.1))])
def test_sizes_agree_with_the_crop_of_the_layer(kind, mean, sigma):
    layer = kind(2, 33, hidden=4, learn_mean=True)
    with torch.no_grad():
        layer.mask.mean.copy_(torch.tensor(mean, dtype=torch.float32))
        layer.mask.sigma.copy_(torch.tensor(sigma))
    row = analysis.sizes(layer)
    assert (row["kernel_rows"], row["kernel_columns"]) == layer.cropped() == layer.kernel().shape[-2:]
    assert row["share_rows"] == layer.cropped()[0] / 33
    axis = torch.linspace(-3, 3, 60001, dtype=torch.float64)
    values = layer.mask(axis, torch.tensor([mean[1]], dtype=torch.float64))[:, 0]
    assert row["mask_rows"] == pytest.approx(float((values > 0.1).sum()) * 1e-4 * 16, abs=0.01), "steps of 1/16 are pixels"
    assert (row["sigma_rows"], row["mean_columns"]) == pytest.approx((sigma[0], mean[1]))


def test_kernel_without_a_mask_has_the_size_of_the_horizon():
    row = analysis.sizes(make_layer(mask=False, crop=False))
    assert (row["kernel_rows"], row["share_columns"], row["sigma_rows"], row["mask_rows"]) == (33, 1, None, None)


def save_weights(folder, method="flexconv", epochs=(0, 1), protocol=PROTOCOL):
    """Write the files of a training whose masks grow."""
    cell = accuracy_cell(Cell(method, 8, 8), protocol, TINY)
    network = Network(replace(cell, channels=1), (8, 8), 3, 1).untrained_module()
    folder.mkdir(exist_ok=True)
    for epoch in epochs:
        state = {name: value + 0.2 * epoch * name.endswith("mask.sigma") for name, value in network.state_dict().items()}
        job = Job(cell, "accuracy", protocol)
        fields = {"job": job.to_json(), "classes": 3, "channels": 1, "epoch": epoch, "epochs": protocol.epochs}
        torch.save({**fields, "weights": state}, folder / f"{stem(job)}-epoch{epoch:03d}.weights.pt")


def run(*args):
    return CliRunner().invoke(main, ["analyze", "masks", *map(str, args)])


def test_epochs_of_each_training_are_ordered(tmp_path):
    for method in ("flexconv", "flexconv_dw"):
        save_weights(tmp_path, method, epochs=(1, 0))
    findings = analysis.analyse(from_weights([tmp_path]))
    sizes = findings.tables["masks"]
    assert sizes[["epoch", "kernel_rows", "horizon"]].to_numpy().tolist() == [[0, 3, 9], [1, 5, 9]] * 2
    columns = {name for table in findings.tables.values() for name in table.columns}
    assert {name.replace("_columns", "_rows") for name in columns} == findings.columns.keys()
    assert sorted(findings.figures) == [
        f"{kind}-mixer-depth=1-width=4-{method}-digits-seed-0"
        for kind in ("kernels", "sizes", "spectra") for method in ("flexconv", "flexconv-dw")
    ]  # fmt: skip


def test_trainings_that_differ_only_in_protocol_or_folder_have_distinct_titles(tmp_path):
    """One seed, two learning rates, and the second training again in another folder; it is unfinished, at epoch 1 of 30."""
    other = replace(PROTOCOL, lr=(1e-3,), epochs=30)
    save_weights(tmp_path)
    save_weights(tmp_path, protocol=other)
    save_weights(tmp_path / "again", protocol=other)
    findings = analysis.analyse(from_weights([tmp_path]))
    table = findings.tables["masks"]
    assert table.groupby("protocol", sort=False)["epochs"].agg(list).tolist() in ([[1] * 2, [30] * 4], [[30] * 4, [1] * 2])
    digits = dict(zip(table["epochs"], table["protocol"].str[-6:]))
    assert len(set(digits.values())) == 2 and len(findings.figures) == 9
    title = f"{TINY} + flexconv, digits, seed 0"
    assert f"**{title}, {digits[1]}, epoch 0 → 1 of 1**" in findings.text
    for folder in (tmp_path, tmp_path / "again"):
        assert inline(Bold(f"{title}, {digits[30]}, {folder}, epoch 0 → 1 of 30")) in findings.text


def test_command_writes_tables_figures_and_a_page(tmp_path):
    for method in ("flexconv", "dwconv3"):
        save_weights(tmp_path / "weights", method)
    result = run(tmp_path / "weights", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "out" / "ANALYSIS.md").read_text()
    assert f"Without a FlexConv layer: `{TINY} + dwconv3, digits`" in page
    assert "0.0750 x 0.0750 → 0.275 x 0.275" in page and "3x3 → 5x5" in page
    assert len(pd.read_csv(tmp_path / "out" / "aliasing.csv")) == 2
    assert sorted(path.stem for path in (tmp_path / "out" / "figures").glob("*.png")) == ["kernels", "sizes", "spectra"]


def test_flexnet_by_name_is_analysed_untrained():
    known = {entry.name: entry for entry in methods.catalogue()}
    findings = analysis.analyse(by_name(("flexnet3[width=2,hidden=4]",), (), [(8, 8)], known, classes=3))
    assert len(findings.tables["masks"]) == 7, "layers"
    assert list(findings.figures) == ["spectra", "kernels"] and ", untrained**" in findings.text


def test_unsupported_operator_is_an_error(tmp_path):
    result = run("--backbone", "flexnet3[width=2,horizon=4]", "--res", 8, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "kernel_size (the horizon) must be an odd number of at least 3, not 4" in result.output


def test_networks_without_a_flexconv_layer_are_an_error(tmp_path):
    result = run("--backbone", TINY, "--methods", "dwconv3,niff", "--res", 8, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert f"no FlexConv layer in {TINY} + dwconv3, {TINY} + niff" in result.output
