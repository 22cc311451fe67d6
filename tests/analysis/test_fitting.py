"""Tests of kernel fitting: published targets, fits that must be exact, and fits that must fail."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from bench.analysis.fitting import figures, text
from bench.analysis.fitting.analysis import COLUMNS, Fit, analyse, fit_networks, loss_curve, optimise, result_row
from bench.analysis.fitting.nets import NETS, Net
from bench.analysis.fitting.targets import NEGATIVE_MEAN_SQUARE, NJET, PUBLISHED, SIZE, TARGETS, edge, gabor, noise, published_error
from bench.cli import main
from bench.report.style import FAMILIES

# PSNR in dB, for a peak of 1, of fits published with an error of 0. The fits are clipped to [0, 1], so the error is the negative
# half of the target. ckernel_fitting/results/magnetbig_gabor_lr001_it5000_33px.csv of github.com/rjbruin/flexconv.
PSNR = {1: 39.70632172, 4: 21.64913559, 16: 19.97712898, 64: 19.97710228}
# Published errors of Gaussian derivatives of the lowest order that fit nothing: the mean square of the target.
UNFITTED = {1: 0.00021399, 4: 0.01368095, 64: 0.02010573}
PARAMETERS = {"magnet_small": 301, "magnet_big": 4097, "siren_small": 337, "siren_big": 4417, "niff_small": 130, "weights": 1089}


@pytest.mark.parametrize(("frequency", "decibel"), PSNR.items())
def test_gabor_targets_are_the_published_ones(frequency, decibel):
    assert 10 * math.log10(1 / gabor(frequency).clamp(max=0).square().mean()) == pytest.approx(decibel, abs=5e-4)
    if frequency in UNFITTED:
        assert gabor(frequency).square().mean() == pytest.approx(UNFITTED[frequency], rel=1e-4)


def test_gabor_targets_are_odd_along_both_axes():
    for frequency in PSNR:
        target = gabor(frequency)
        torch.testing.assert_close(target, -target.flip(0))
        torch.testing.assert_close(target, target.T)
    assert gabor(16).abs().max() < 1


def test_edge_is_odd_with_the_published_mean_square():
    target = edge()
    assert target.shape == (SIZE, SIZE)
    torch.testing.assert_close(target, -target.flip(0, 1))
    assert 10 * math.log10(1 / target.clamp(max=0).square().mean()) == pytest.approx(22.474, abs=1e-3)
    assert pytest.approx(10 ** (-22.474 / 10)) == NEGATIVE_MEAN_SQUARE


def test_noise_is_uniform_and_reproducible():
    assert torch.equal(noise(), noise())
    assert noise().min() >= 0 and noise().max() <= 1
    assert noise().var() == pytest.approx(1 / 12, rel=0.05)


@pytest.mark.parametrize("name", NETS)
def test_every_net_returns_a_kernel_and_has_gradients(name):
    torch.manual_seed(0)
    net = NETS[name].make()
    kernel = net()
    assert kernel.shape == (SIZE, SIZE) and kernel.dtype == torch.float32
    (kernel * torch.rand(SIZE, SIZE)).sum().backward()
    without_gradient = [key for key, value in net.named_parameters() if value.grad is None or not value.grad.any()]
    assert without_gradient == (["niff.imag.last.bias"] if name.startswith("niff") else [])
    count = sum(value.numel() for value in net.parameters())
    assert count == PARAMETERS.get(name, count)
    assert (count < 400) == name.endswith("small")


def test_kernel_of_niff_is_that_of_its_layer():
    net = NETS["niff_small"].make()
    torch.testing.assert_close(net(), net.niff.kernel()[0])


def test_stacked_fits_equal_separate_fits():
    targets = torch.stack([gabor(4), edge()]).float()

    def nets():
        torch.manual_seed(0)
        return [NETS["siren_small"].make() for _ in targets]

    together, kernels = optimise(nets(), targets, 0.01, 5)
    alone = [optimise([net], target[None], 0.01, 5) for net, target in zip(nets(), targets)]
    torch.testing.assert_close(together, torch.cat([losses for losses, _ in alone], 1), rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(kernels, torch.cat([kernel for _, kernel in alone]), rtol=1e-2, atol=1e-3)


def test_loss_of_free_weights_follows_adam():
    """Far from its target, Adam moves a weight by the learning rate per step."""
    net = NETS["weights"].make()
    with torch.no_grad():
        net.weight.zero_()
    losses, kernels = optimise([net], torch.full((1, SIZE, SIZE), 100.0), 0.01, 10)
    torch.testing.assert_close(losses[:, 0], (100 - 0.01 * torch.arange(11.0)) ** 2, rtol=1e-5, atol=0)
    torch.testing.assert_close(kernels[0], torch.full((SIZE, SIZE), 0.1), rtol=1e-3, atol=0)


def test_free_weights_fit_a_target():
    (fit,) = fit_networks("weights", ["edge"], 0.01, 600, 1)
    assert result_row(fit)["mse"] < 1e-6 * result_row(fit)["target_variance"]
    assert np.allclose(fit.kernel, edge().numpy(), atol=1e-3)


def test_small_net_fits_a_slow_wave_but_not_noise():
    """A small network has fewer parameters than the 1089 independent values of the noise."""
    slow, random = map(result_row, fit_networks("siren_small", ["gabor4", "noise"], 0.01, 150, 1))
    assert slow["mse"] < 0.1 * slow["target_variance"]
    assert random["mse"] > 0.2 * random["target_variance"]


def test_row_of_a_fit():
    fit = Fit("magnet_big", "noise", 0.01, 3, 7, np.array([4.0, 1e-4, 1e-3]), np.zeros((SIZE, SIZE)))
    result = result_row(fit)
    assert (result["steps"], result["seed"], result["params"], result["status"], result["detail"]) == (2, 3, 7, "ok", "")
    assert (result["mse"], result["mse_best"], result["published_mse"]) == (1e-3, 1e-4, 5e-9)
    assert result["psnr_db"] == pytest.approx(30, abs=0.05), "the noise has a range of nearly 1"
    assert result["target_variance"] == pytest.approx(1 / 12, rel=0.05)
    assert set(result) <= set(COLUMNS)


def test_psnr_of_an_exact_fit_is_infinite():
    fit = Fit("weights", "edge", 0.01, 0, 1, np.array([1.0, 0.0]), np.zeros((SIZE, SIZE)))
    assert result_row(fit)["psnr_db"] == math.inf


def test_loss_curve_includes_the_first_and_the_last_step():
    losses = np.geomspace(1, 1e-6, 5001)
    points = list(loss_curve(Fit("weights", "edge", 0.01, 0, 1, losses, np.zeros((SIZE, SIZE)))))
    steps = [point["step"] for point in points]
    assert (steps[0], steps[-1]) == (0, 5000) and steps == sorted(set(steps)) and 30 < len(steps) < 70
    assert all(point["mse"] == losses[point["step"]] for point in points)


class Diverging(nn.Module):
    """A net whose loss becomes infinite when its weights exceed 0.125."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((SIZE, SIZE), 0.1))

    def forward(self):
        return self.weight + torch.where(self.weight > 0.125, math.inf, 0.0)


def test_diverging_fit_is_a_row_and_does_not_affect_others(monkeypatch):
    monkeypatch.setitem(NETS, "diverging", Net(Diverging))
    monkeypatch.setitem(TARGETS, "gabor1", lambda: gabor(1) + 1)
    monkeypatch.setitem(TARGETS, "gabor4", lambda: gabor(1) - 1)
    findings = analyse(["diverging"], ["gabor1", "gabor4"], 6, 1)
    high, low = findings.tables["fitting"].to_dict("records")
    assert (high["status"], high["detail"]) == ("error", "the loss is not finite after 3 steps")
    assert all(math.isnan(high[name]) for name in ("mse", "mse_best", "psnr_db"))
    assert low["status"] == "ok" and low["mse"] == pytest.approx(1.04**2, rel=0.01), "six steps of 0.01 from 0.1 towards -1"
    assert "*error*<sup>1</sup>" in findings.text and "the loss is not finite after 3 steps" in findings.text
    assert set(findings.figures) == {"errors", "kernels", "losses"}


def test_published_errors_by_net_and_learning_rate():
    assert published_error("magnet_small", 0.01, "gabor16") == 1.3e-3
    assert published_error("siren_big", 0.001, "gabor64") == 5e-8 and published_error("siren_big", 0.01, "gabor64") == 7.1e-5
    assert published_error("niff_big", 0.01, "noise") is None
    assert all(len(errors) == len(TARGETS) == len(NJET) for errors in PUBLISHED.values())
    assert {net for net, _ in PUBLISHED} <= set(NETS)


def test_fits_are_reproducible_per_seed():
    first, second = fit_networks("magnet_small", ["gabor4"], 0.01, 3, 2)
    again = next(iter(fit_networks("magnet_small", ["gabor4"], 0.01, 3, 1)))
    np.testing.assert_allclose(again.losses, first.losses, rtol=1e-4)
    assert not np.allclose(second.losses, first.losses, rtol=0.05)


def test_page_shows_medians_and_published_errors():
    shared = {"net": "siren_big", "target": "edge", "lr": 0.01, "steps": 9, "params": 4417, "target_variance": 0.5}
    shared |= {"published_mse": 5e-9, "status": "ok", "detail": ""}
    losses = enumerate((1e-3, 2.4e-5, 1e-6))
    table = pd.DataFrame([{**shared, "seed": seed, "mse": 10 * mse, "mse_best": mse} for seed, mse in losses])
    page = text.page(table)
    for expected in ("2.4e-5 (&lt; 5e-9)", "2.4e-4 |", "median over 3 seeds", "5.0e-1", "(3.2e-4)"):
        assert expected in page


def test_labels_include_the_learning_rate():
    table = pd.DataFrame({"net": ["siren_big", "siren_big"], "lr": [0.01, 0.001]})
    assert list(figures._label(table)) == ["siren_big", "siren_big, lr 0.001"]


def test_line_styles_show_family_size_and_learning_rate():
    table = pd.DataFrame({"net": ["siren_big", "siren_big", "siren_small", "siren_small"], "lr": [0.01, 0.001] * 2})
    lines = figures._lines(table)
    assert {colour for colour, _ in lines.values()} == {FAMILIES["shared_basis"]}
    assert [dash for _, dash in lines.values()] == ["-", "--", ":", "-."]


def test_command(tmp_path):
    args = ["analyze", "fitting", "--nets", "weights,niff_small", "--targets", "gabor1,edge", "--steps", "4", "--seeds", "2"]
    result = CliRunner().invoke(main, [*args, "-o", str(tmp_path / "fit")], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "fit" / "fitting.csv")
    assert len(table) == 2 * 2 * 2 and set(table["status"]) == {"ok"} and set(table["steps"]) == {4}
    assert set(pd.read_csv(tmp_path / "fit" / "curves.csv")["step"]) == {0, 1, 2, 3, 4}
    page = (tmp_path / "fit" / "ANALYSIS.md").read_text()
    assert "| `niff_small`" in page and "figures/errors.svg" in page
    assert (tmp_path / "fit" / "figures" / "kernels.png").stat().st_size > 1000


@pytest.mark.parametrize(("option", "name"), [("--nets", "magnet"), ("--targets", "gabor2")])
def test_unknown_name_is_an_error_with_the_known_names(option, name, tmp_path):
    result = CliRunner().invoke(main, ["analyze", "fitting", option, name, "-o", str(tmp_path)])
    assert result.exit_code == 2
    assert f"unknown {option[2:-1]} '{name}'; did you mean" in result.output
