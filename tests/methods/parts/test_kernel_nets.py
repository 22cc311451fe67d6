"""Kernel networks, mask, crop and anti-aliasing penalty against the official ones, and updates of the crop."""

import copy
import math

import numpy as np
import pytest
import torch

from methods import Unsupported
from methods.contract import relative_error
from methods.flexconv import FlexConv
from methods.parts.antialias import PenaltyForm, alias_penalty, filter_frequencies, mask_frequency, nyquist
from methods.parts.gaussian_mask import GaussianMask, cropped_size, grid_axis
from methods.parts.kernel_nets import KernelNetConfig, make_kernel_net
from methods.parts.official_weights import Weights, assign
from tests.reference import flexconv as oracle

NETS = {
    "magnet": ("magnet", 6, 32),
    "kernelnet_gabornet": ("gabor", 5, 16),
    "kernelnet_fouriernet": ("fourier", 5, 16),
    "kernelnet_siren": ("siren", 5, 16),
    "kernelnet_nsiren": ("nsiren", 5, 16),
    "kernelnet_mlp_relu_layernorm": ("mlp", 5, 16),
}


def official_net(name, data):
    kind, outputs, hidden = NETS[name]
    net = make_kernel_net(KernelNetConfig(kind, hidden, 3), outputs)
    weights = Weights({k.removeprefix("param/"): torch.from_numpy(v) for k, v in data.items() if k.startswith("param/")})
    assign(net, net.from_official(weights))
    weights.finish()
    return net


def axes(grid):
    return torch.from_numpy(grid[0, 0, :, 0]).double(), torch.from_numpy(grid[0, 1, 0]).double()


@pytest.mark.parametrize("name", NETS)
def test_official_kernel_nets(vectors, name):
    data = vectors(f"flexconv/{name}.npz")
    net = official_net(name, data)
    assert relative_error(net(*axes(data["grid"])), torch.from_numpy(data["out"][0])) < 1e-5


def test_official_filters_and_hidden_maps(vectors):
    data = vectors("flexconv/magnet.npz")
    net = official_net("magnet", data)
    filters = net.filters(*axes(data["grid"]))
    for i in range(4):
        assert relative_error(filters[i], torch.from_numpy(data[f"filter_{i}"][0])) < 1e-5
    assert relative_error(net.hidden_maps(*axes(data["grid"])), torch.from_numpy(data["hidden_after_3"][0])) < 1e-5


def test_mlp_against_the_equations():
    torch.manual_seed(0)
    net = make_kernel_net(KernelNetConfig("mlp", hidden=4, layers=3), 3).double()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter)
    rows, columns = torch.linspace(-1, 1, 5).double(), torch.linspace(-0.5, 0.5, 3).double()
    positions = np.array([[y, x] for y in rows.tolist() for x in columns.tolist()])
    features = oracle.mlp_features({f"net.{k}": v.numpy() for k, v in net.state_dict().items()}, positions)
    assert relative_error(net.hidden_maps(rows, columns), torch.from_numpy(features.T.reshape(4, 5, 3))) < 1e-10


def test_official_initialisation(vectors):
    """200 initialised layers each: bounds of uniform distributions; means and deviations within five standard errors."""
    data = vectors("flexconv/init_statistics.npz")
    torch.manual_seed(0)
    layers = [FlexConv(4, 33) for _ in range(200)]
    ours = {}
    for i in range(4):
        for name, key in (("gamma", "gamma"), ("mu", "mu"), ("w", "frequency"), ("b", "phase")):
            ours[f"filter{i}_{name}"] = torch.stack([getattr(layer.net, key)[i] for layer in layers])
    for i in range(3):
        ours[f"hidden{i}_w"] = torch.stack([layer.net.mix_weight[i] for layer in layers])
        ours[f"hidden{i}_b"] = torch.stack([layer.net.mix_bias[i] for layer in layers])
    ours["out_w"] = torch.stack([layer.net.out_weight for layer in layers])
    ours["out_b"] = torch.stack([layer.net.out_bias for layer in layers])
    ours["cropped_kernel"] = torch.stack([layer.kernel() for layer in layers])
    bounded = {name for name in ours if name.endswith(("mu", "_b")) or name.startswith(("hidden", "out_"))}
    for name, (count, mean, std, *quantiles) in zip(data["names"], data["stats"]):
        if name == "unmasked_kernel_33":
            continue
        values = ours[name].detach().double().flatten()
        assert len(values) == count
        kurtosis = float(((values - values.mean()) ** 4).mean() / values.var() ** 2)
        # The values of a kernel are correlated (a shared bias): the effective sample size is that of the 200 * 16 biases
        independent = 3200 if name == "cropped_kernel" else count
        error = 5 * math.sqrt(2 / independent)
        assert abs(values.mean() - mean) < error * std, name
        assert abs(values.std() / std - 1) < error * math.sqrt(kurtosis - 1) / 2, name
        if name in bounded:
            assert abs(values.abs().max() / max(abs(quantiles[0]), quantiles[-1]) - 1) < 0.005, name
        for q, reference in zip(data["quantiles"][2:-2], quantiles[2:-2]):
            below = float((values < reference).double().mean())
            assert abs(below - q) < error * math.sqrt(q * (1 - q)), (name, q)


def test_ccnn_initialisation():
    torch.manual_seed(0)
    net = make_kernel_net(KernelNetConfig("magnet", 24, 3, omega=10.0, spread=0.4, init="ccnn"), 7)
    bound = math.sqrt(3 / 24)
    assert (net.phase == 0).all() and (net.mix_bias == 1).all() and (net.out_bias == 0).all()
    assert 0.98 * bound < net.mix_weight.abs().max() <= bound and 0.9 * bound < net.out_weight.abs().max() <= bound
    ratio = (net.frequency / net.gamma).abs().max() / (2 * math.pi * 10)
    assert 0.95 * math.sqrt(0.5) < ratio < math.sqrt(0.5) * 1.0001
    assert 0.36 < net.mu.abs().max() <= 0.4
    nets = [make_kernel_net(KernelNetConfig(kind, 4, 3, init="ccnn"), 1) for kind in ("magnet", "siren")]
    assert [net.omega for net in nets] == [977, 30]


@pytest.mark.parametrize("wrong", [("rbf", 8, 3), ("magnet", 0, 3), ("magnet", 8, 0), ("siren", 8, 1)])
def test_unsupported_networks(wrong):
    kind, hidden, layers = wrong
    with pytest.raises(Unsupported):
        make_kernel_net(KernelNetConfig(kind, hidden, layers), 4)


# --- mask and crop ---


def test_official_crop_tables(vectors):
    for horizon, threshold, mean_y, sigma_y, mean_x, sigma_x, kh, kw, *_ in vectors("flexconv/mask_and_crop.npz")["crop_table"]:
        ours = [cropped_size(int(horizon), m, s, threshold, 0) for m, s in ((mean_y, sigma_y), (mean_x, sigma_x))]
        assert ours == [kh, kw], (horizon, threshold, mean_y, sigma_y, mean_x, sigma_x)
    for horizon, sigma, kh, kw in vectors("flexconv/ccnn_crop.npz")["crop_table"]:
        assert [cropped_size(int(horizon), 0.0, sigma, 0.1, 0)] * 2 == [kh, kw], (horizon, sigma)


def test_crop_counts_the_positions_inside_the_mask():
    for horizon in (3, 5, 9, 33):
        for mean, sigma in ((0.0, 0.01), (0.2, 0.1), (-0.5, 0.2), (0.0, 0.466), (0.3, -0.3)):
            for least in (0, 1, 2):
                positions = oracle.crop(horizon, mean, sigma, 0.1, least)
                assert cropped_size(horizon, mean, sigma, 0.1, least) == len(positions)
                size = cropped_size(horizon, mean, sigma, 0.1, least)
                assert np.allclose(grid_axis(horizon, size, torch.device("cpu")), positions)


def test_official_mask_values(vectors):
    data = vectors("flexconv/mask_and_crop.npz")
    mask = GaussianMask()
    params = torch.from_numpy(data["mask_params"])
    assign(mask, mask.from_official(Weights({"mask_params": params})))
    assert relative_error(mask(*axes(data["mask_grid"])), torch.from_numpy(data["mask"])) < 1e-5
    whole = grid_axis(33, 33, torch.device("cpu"))
    assert relative_error(GaussianMask()(whole, whole), torch.from_numpy(data["mask_default"])) < 1e-5
    for size in (33, 225):
        assert relative_error(grid_axis(size, size, torch.device("cpu")), torch.from_numpy(data[f"grid_{size}_axis"])) < 1e-6


class Reads(torch.utils._python_dispatch.TorchDispatchMode):
    """Counts device synchronisations: reads of tensor values by Python."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += "_local_scalar_dense" in str(func)
        return func(*args, **(kwargs or {}))


def test_the_crop_is_read_once_per_change(monkeypatch):
    reads = []
    original = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: reads.append(tensor) or original(tensor))
    module, x = FlexConv(3, 12, hidden=4), torch.randn(1, 3, 12, 12)
    module(x)
    reads.clear()
    optimiser = torch.optim.Adam(module.parameters())
    for _ in range(3):
        module(x).square().sum().backward()
        module(x)
        optimiser.step()
    assert len(reads) == 2 * 2  # mean and sigma, after the first and the second step
    module.eval()
    reads.clear()
    with torch.no_grad(), Reads() as waits:
        module(x)
        module(x)
    assert not reads and waits.count == 0


def test_the_crop_follows_every_kind_of_change():
    mask = GaussianMask(0.3)
    assert mask.sizes(33) == (21, 21)
    for foreach, sizes in ((False, (11, 21)), (True, (3, 21))):
        optimiser = torch.optim.SGD(mask.parameters(), lr=0.13, foreach=foreach)
        mask.sigma.grad = torch.tensor([1.0, 0.0])
        optimiser.step()
        assert mask.sizes(33) == sizes
    mask.load_state_dict(GaussianMask(0.6).state_dict())
    assert mask._values[0] == pytest.approx((0.0, 0.6))  # before any forward pass
    assert copy.deepcopy(mask).sizes(33) == (33, 33)
    mask.load_state_dict(GaussianMask(0.075).state_dict(), assign=True)
    assert mask.double().sizes(33) == (5, 5)


def test_a_fused_optimiser_step_is_noticed_when_the_mode_changes():
    mask = GaussianMask(0.3)
    optimiser = torch.optim.SGD(mask.parameters(), lr=0.15, fused=True)
    mask.sigma.grad = torch.tensor([1.0, 0.0])
    optimiser.step()
    assert mask.eval().sizes(33) == (11, 21)


def test_crop_of_a_mask_created_in_inference_mode():
    with torch.inference_mode():
        mask = GaussianMask(0.3)
        assert mask.sizes(33) == (21, 21)
        mask.sigma.fill_(0.6)
        assert mask.sizes(33) == (33, 33)


def test_invalid_masks():
    for wrong in ({"sigma": 0}, {"threshold": 0}, {"threshold": 1}):
        with pytest.raises(ValueError, match=r"must"):
            GaussianMask(**wrong)


# --- anti-aliasing ---


def official_layers(data):
    for i, inputs in enumerate((3, 4)):
        layer = FlexConv(inputs, 32, 33, out_channels=4)
        prefix = f"param/{i}."
        layer.load_official({k.removeprefix(prefix): torch.from_numpy(v) for k, v in data.items() if k.startswith(prefix)})
        yield layer


def test_official_penalties(vectors):
    data = vectors("flexconv/antialiasing.npz")
    layers = list(official_layers(data))
    for horizon, target, method, function, deviations, value in data["reg_table"]:
        form = PenaltyForm(
            ("gabor", "gabor+mask")[int(target)],
            ("together", "summed")[int(method)],
            ("l2_relu", "offset_elu")[int(function)],
            deviations,
        )
        penalties = [alias_penalty(layer.net, layer.mask, int(horizon), form) for layer in layers]
        assert 0.1 * sum(penalties).item() == pytest.approx(value, rel=2e-6)


def test_official_frequencies(vectors):
    data = vectors("flexconv/antialiasing.npz")
    for i, layer in enumerate(official_layers(data)):
        for deviations in (1, 2):
            ours = filter_frequencies(layer.net, deviations)
            assert relative_error(ours, torch.from_numpy(data[f"magnet_freqs_sd{deviations}"][i])) < 1e-6
            reference = data[f"mask_freqs_sd{deviations}"][i]
            assert mask_frequency(layer.mask, deviations).item() == pytest.approx(reference, rel=1e-6)
    assert [nyquist(int(size)) for size, _ in data["nyquist"]] == data["nyquist"][:, 1].tolist()
