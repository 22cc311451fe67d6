"""Kernel fitting: targets against what was published of them, fits that must be exact, and those that must fail visibly."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from bench.analysis.fitting import analysis as fitting
from bench.analysis.fitting import figures as fitting_figures
from bench.analysis.fitting import text as fitting_text
from bench.analysis.fitting.analysis import analyse, curve, fitted, optimise, row
from bench.analysis.fitting.nets import NETS, Net
from bench.analysis.fitting.targets import NEGATIVE, NJET, PUBLISHED, SIZE, TARGETS, edge, gabor, noise, published
from bench.cli import main

# Of fits published with an error of 0: PSNR in dB against a peak of 1, the fit cut to [0, 1], so that the target's negative half
# is the error. ckernel_fitting/results/magnetbig_gabor_lr001_it5000_33px.csv of github.com/rjbruin/flexconv.
PSNR = {1: 39.70632172, 4: 21.64913559, 16: 19.97712898, 64: 19.97710228}
# Errors that Gaussian derivatives of the lowest order were published with where they fit nothing: the target's mean square.
UNFITTED = {1: 0.00021399, 4: 0.01368095, 64: 0.02010573}
PARAMETERS = {"magnet_small": 301, "magnet_big": 4097, "siren_small": 337, "siren_big": 4417, "niff_small": 130, "weights": 1089}


@pytest.mark.parametrize(("frequency", "decibel"), PSNR.items())
def test_gabor_targets_are_the_published_ones(frequency, decibel):
    assert 10 * math.log10(1 / gabor(frequency).clamp(max=0).square().mean()) == pytest.approx(decibel, abs=5e-4)
    if frequency in UNFITTED:
        assert gabor(frequency).square().mean() == pytest.approx(UNFITTED[frequency], rel=1e-4)


def test_a_gabor_target_is_odd_along_both_axes():
    for frequency in PSNR:
        target = gabor(frequency)
        torch.testing.assert_close(target, -target.flip(0))
        torch.testing.assert_close(target, target.T)
    assert gabor(16).abs().max() < 1


def test_the_edge_is_odd_and_as_strong_as_the_published_filter():
    target = edge()
    assert target.shape == (SIZE, SIZE)
    torch.testing.assert_close(target, -target.flip(0, 1))
    assert 10 * math.log10(1 / target.clamp(max=0).square().mean()) == pytest.approx(22.474, abs=1e-3)
    assert pytest.approx(10 ** (-22.474 / 10)) == NEGATIVE


def test_the_noise_is_uniform_and_always_the_same():
    assert torch.equal(noise(), noise())
    assert noise().min() >= 0 and noise().max() <= 1
    assert noise().var() == pytest.approx(1 / 12, rel=0.05)


@pytest.mark.parametrize("name", NETS)
def test_every_net_gives_a_kernel_and_learns_with_all_its_weights(name):
    torch.manual_seed(0)
    net = NETS[name].make()
    kernel = net()
    assert kernel.shape == (SIZE, SIZE) and kernel.dtype == torch.float32
    (kernel * torch.rand(SIZE, SIZE)).sum().backward()
    idle = [key for key, value in net.named_parameters() if value.grad is None or not value.grad.any()]
    assert idle == (["niff.imag.last.bias"] if name.startswith("niff") else [])
    count = sum(value.numel() for value in net.parameters())
    assert count == PARAMETERS.get(name, count)
    assert (count < 400) == name.endswith("small")


def test_niffs_kernel_is_that_of_its_layer():
    net = NETS["niff_small"].make()
    torch.testing.assert_close(net(), net.niff.kernel()[0])


def test_a_stack_of_nets_is_fitted_as_each_would_be():
    targets = torch.stack([gabor(4), edge()]).float()

    def nets():
        torch.manual_seed(0)
        return [NETS["siren_small"].make() for _ in targets]

    together, kernels = optimise(nets(), targets, 0.01, 5)
    alone = [optimise([net], target[None], 0.01, 5) for net, target in zip(nets(), targets)]
    torch.testing.assert_close(together, torch.cat([losses for losses, _ in alone], 1), rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(kernels, torch.cat([kernel for _, kernel in alone]), rtol=1e-2, atol=1e-3)


def test_the_loss_of_a_weight_follows_adam():
    """Far from its aim Adam moves a weight by the learning rate a step."""
    net = NETS["weights"].make()
    with torch.no_grad():
        net.weight.zero_()
    losses, kernels = optimise([net], torch.full((1, SIZE, SIZE), 100.0), 0.01, 10)
    torch.testing.assert_close(losses[:, 0], (100 - 0.01 * torch.arange(11.0)) ** 2, rtol=1e-5, atol=0)
    torch.testing.assert_close(kernels[0], torch.full((SIZE, SIZE), 0.1), rtol=1e-3, atol=0)


def test_free_weights_reach_a_target():
    (fit,) = fitted("weights", ["edge"], 0.01, 600, 1)
    assert row(fit)["mse"] < 1e-6 * row(fit)["target_variance"]
    assert np.allclose(fit.kernel, edge().numpy(), atol=1e-3)


def test_a_small_net_learns_a_slow_wave_and_no_noise():
    """301 parameters cannot hold 1089 independent values."""
    slow, random = map(row, fitted("siren_small", ["gabor4", "noise"], 0.01, 150, 1))
    assert slow["mse"] < 0.1 * slow["target_variance"]
    assert random["mse"] > 0.2 * random["target_variance"]


def test_a_row_follows_from_the_losses():
    fit = fitting.Fit("magnet_big", "noise", 0.01, 3, 7, np.array([4.0, 1e-4, 1e-3]), np.zeros((SIZE, SIZE)))
    found = row(fit)
    assert (found["steps"], found["seed"], found["params"], found["status"], found["detail"]) == (2, 3, 7, "ok", "")
    assert (found["mse"], found["mse_best"], found["published_mse"]) == (1e-3, 1e-4, 5e-9)
    assert found["psnr_db"] == pytest.approx(30, abs=0.05), "the noise has a range of nearly 1"
    assert found["target_variance"] == pytest.approx(1 / 12, rel=0.05)
    assert set(found) <= set(fitting.COLUMNS)


def test_an_exact_fit_has_no_finite_ratio():
    fit = fitting.Fit("weights", "edge", 0.01, 0, 1, np.array([1.0, 0.0]), np.zeros((SIZE, SIZE)))
    assert row(fit)["psnr_db"] == math.inf


def test_a_curve_begins_before_the_first_step_and_ends_after_the_last():
    losses = np.geomspace(1, 1e-6, 5001)
    points = list(curve(fitting.Fit("weights", "edge", 0.01, 0, 1, losses, np.zeros((SIZE, SIZE)))))
    steps = [point["step"] for point in points]
    assert (steps[0], steps[-1]) == (0, 5000) and steps == sorted(set(steps)) and 30 < len(steps) < 70
    assert all(point["mse"] == losses[point["step"]] for point in points)


class Bursting(nn.Module):
    """Its loss stops being a number at the third step, where the target is not zero on average."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((SIZE, SIZE), 0.1))

    def forward(self):
        return self.weight + torch.where(self.weight > 0.125, math.inf, 0.0)


def test_a_fit_that_diverges_is_a_row_and_harms_no_other(monkeypatch):
    monkeypatch.setitem(NETS, "bursting", Net(Bursting))
    monkeypatch.setitem(TARGETS, "gabor1", lambda: gabor(1) + 1)
    monkeypatch.setitem(TARGETS, "gabor4", lambda: gabor(1) - 1)
    found = analyse(["bursting"], ["gabor1", "gabor4"], 6, 1)
    high, low = found.tables["fitting"].to_dict("records")
    assert (high["status"], high["detail"]) == ("error", "the loss is not finite after 3 steps")
    assert all(math.isnan(high[name]) for name in ("mse", "mse_best", "psnr_db"))
    assert low["status"] == "ok" and low["mse"] == pytest.approx(1.04**2, rel=0.01), "six steps of 0.01 from 0.1 towards -1"
    assert "*error*<sup>1</sup>" in found.text and "the loss is not finite after 3 steps" in found.text
    assert set(found.figures) == {"errors", "kernels", "losses"}


def test_published_errors_are_those_of_their_net_and_rate():
    assert published("magnet_small", 0.01, "gabor16") == 1.3e-3
    assert published("siren_big", 0.001, "gabor64") == 5e-8 and published("siren_big", 0.01, "gabor64") == 7.1e-5
    assert published("niff_big", 0.01, "noise") is None
    assert all(len(errors) == len(TARGETS) == len(NJET) for errors in PUBLISHED.values())
    assert {net for net, _ in PUBLISHED} <= set(NETS)


def test_the_same_seed_gives_the_same_fit_and_another_does_not():
    first, second = fitted("magnet_small", ["gabor4"], 0.01, 3, 2)
    again = next(iter(fitted("magnet_small", ["gabor4"], 0.01, 3, 1)))
    np.testing.assert_allclose(again.losses, first.losses, rtol=1e-4)
    assert not np.allclose(second.losses, first.losses, rtol=0.05)


def test_the_page_shows_medians_beside_what_was_published():
    shared = {"net": "siren_big", "target": "edge", "lr": 0.01, "steps": 9, "params": 4417, "target_variance": 0.5}
    shared |= {"published_mse": 5e-9, "status": "ok", "detail": ""}
    losses = enumerate((1e-3, 2.4e-5, 1e-6))
    table = pd.DataFrame([{**shared, "seed": seed, "mse": 10 * mse, "mse_best": mse} for seed, mse in losses])
    text = fitting_text.page(table)
    assert (
        "2.4e-5 (< 5e-9)" in text
        and "2.4e-4 |" in text
        and "median over 3 seeds" in text
        and "5.0e-1" in text
        and "(3.2e-4)" in text
    )


def test_labels_tell_learning_rates_apart():
    table = pd.DataFrame({"net": ["siren_big", "siren_big"], "lr": [0.01, 0.001]})
    assert list(fitting_figures._label(table)) == ["siren_big", "siren_big, lr 0.001"]


def test_the_verb(tmp_path):
    words = ["analyze", "fitting", "--nets", "weights,niff_small", "--targets", "gabor1,edge", "--steps", "4", "--seeds", "2"]
    result = CliRunner().invoke(main, [*words, "-o", str(tmp_path / "fit")], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found = pd.read_csv(tmp_path / "fit" / "fitting.csv")
    assert len(found) == 2 * 2 * 2 and set(found["status"]) == {"ok"} and set(found["steps"]) == {4}
    assert set(pd.read_csv(tmp_path / "fit" / "curves.csv")["step"]) == {0, 1, 2, 3, 4}
    page = (tmp_path / "fit" / "ANALYSIS.md").read_text()
    assert "| `niff_small`" in page and "figures/errors.svg" in page
    assert (tmp_path / "fit" / "figures" / "kernels.png").stat().st_size > 1000


@pytest.mark.parametrize(("option", "word"), [("--nets", "magnet"), ("--targets", "gabor2")])
def test_an_unknown_name_is_answered_with_the_known_ones(option, word, tmp_path):
    result = CliRunner().invoke(main, ["analyze", "fitting", option, word, "-o", str(tmp_path)])
    assert result.exit_code == 2
    assert f"unknown {option[2:-1]} '{word}'; did you mean" in result.output
