"""NIFF forms of published networks against the published parameter counts and block, and documented properties."""

from __future__ import annotations

import copy
from collections import Counter
from functools import cache
from math import sqrt

import pytest
import torch
from torch import nn

from bench import nets
from bench.counters.flops import count
from bench.nets.niff.convnext import convert
from bench.nets.published import NETWORKS, matches
from methods.contract import relative_error
from methods.niff import Niff
from tests.methods.test_niff_official import PRECISIONS, named, tensor

PUBLISHED = {name: entry for name, entry in NETWORKS.items() if name.startswith("niff_")}
FILTERS = {  # parameters of the filters' networks
    "niff_resnet18": 31_000,
    "niff_resnet50": 30_360,
    "niff_resnet101": 75_920,
    "niff_densenet121": 81_200,
    "niff_mobilenetv2": 62_840,
    "niff_convnext_t": 665_856,
}
LAYERS = {  # filters by size of their map, 1x1 layers, unchanged spatial convolutions
    "niff_resnet50": ({56: 3, 28: 3, 14: 5, 7: 2}, 46, 7),
    "niff_densenet121": ({56: 6, 28: 12, 14: 24, 7: 16}, 119, 1),
    "niff_mobilenetv2": ({112: 1, 56: 1, 28: 2, 14: 6, 7: 3}, 34, 5),
    "niff_convnext_t": ({56: 3, 28: 3, 14: 9, 7: 3}, 36, 4),
}
SMALL = ("niff_resnet18", "niff_resnet18[mode=full]", "niff_densenet121", "niff_mobilenetv2", "niff_convnext_t")


@cache
def planned(text: str) -> nn.Module:
    """Build on the meta device, for ImageNet."""
    with torch.device("meta"):
        return nets.build(text, None, 1000, 3, (224, 224))


@cache
def build(text: str, size: tuple[int, int] = (64, 64)) -> nn.Module:
    torch.manual_seed(0)
    return nets.build(text, None, 10, 3, size)


def images(batch: int, channels: int, *size: int) -> torch.Tensor:
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(1))


def filters(network: nn.Module) -> list[Niff]:
    return [module for module in network.modules() if isinstance(module, Niff)]


def parameters(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize("text", PUBLISHED)
def test_parameters_are_counted_as_published(text):
    assert matches(PUBLISHED[text].params, parameters(planned(text)))


@pytest.mark.parametrize("text", FILTERS)
def test_parameters_of_the_filters_are_counted_as_published(text):
    assert sum(parameters(niff.real, niff.imag) for niff in filters(planned(text))) == FILTERS[text]


def test_densenet_of_a_hundred_classes():
    with torch.device("meta"):
        assert parameters(nets.build("niff_densenet121", None, 100, 3, (224, 224))) == 5_237_012
        assert parameters(nets.build("niff_densenet121[mode=full]", None, 100, 3, (224, 224))) == 9_197_252


@pytest.mark.parametrize("text", LAYERS)
def test_layers_are_replaced_as_published(text):
    network, (grids, points, spatial) = planned(text), LAYERS[text]
    assert Counter(niff.resolution for niff in filters(network)) == {(size, size): number for size, number in grids.items()}
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    inside = {id(layer) for niff in filters(network) for layer in niff.modules()}
    matrices = [m for name, m in network.named_modules() if isinstance(m, nn.Linear) and "features" in name and id(m) not in inside]
    pointwise = [c for c in convolutions if c.kernel_size == c.stride == (1, 1)] + matrices
    assert len(pointwise) == points and all(layer.bias is None for layer in pointwise)
    assert len([c for c in convolutions if c.stride != (1, 1)]) == spatial
    assert len(convolutions) == points - len(matrices) + spatial


@pytest.mark.parametrize("text", SMALL)
def test_every_filter_is_built_for_the_size_of_its_input(text):
    with torch.device("meta"):
        network = nets.build(text, None, 10, 1, (75, 100)).eval()
    met = []
    for niff in filters(network):
        niff.register_forward_pre_hook(lambda module, inputs: met.append(tuple(inputs[0].shape[-2:]) == module.resolution))
    assert network(torch.empty(2, 1, 75, 100, device="meta")).shape == (2, 10)
    assert len(met) == len(filters(network)) and all(met)


@pytest.mark.parametrize("text", SMALL)
def test_one_step_of_training(text):
    """The last map has 3 x 3 pixels: at 2 x 2 every frequency is its own mirror and filters have no odd part."""
    network = copy.deepcopy(build(text)).train()
    logits = network(images(2, 3, 80, 96))
    logits.square().sum().backward()
    assert logits.shape == (2, 10)
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        if not name.endswith(Niff.inert):
            assert parameter.grad.any(), name


@pytest.mark.parametrize("text", ["niff_resnet18", "niff_mobilenetv2", "niff_convnext_t"])
def test_another_resolution_with_the_same_network(text):
    """Coordinates are in cycles per map: at another size the network equals one that was built for it."""
    here, there = copy.deepcopy(build(text)).eval(), build(text, (96, 80))
    there.load_state_dict(here.state_dict())
    x = images(2, 3, 96, 80)
    with torch.no_grad():
        expected = copy.deepcopy(there).eval()(x)
        assert torch.equal(here(x), expected)
        assert expected.isfinite().all() and expected.std() > 0


def test_normalised_coordinates_preserve_the_kernels_of_the_built_size():
    for coords, same in (("index", True), ("normalized", False)):
        network = build(f"niff_resnet18[coords={coords}]", (96, 80))
        network.load_state_dict(build("niff_resnet18").state_dict())
        first, other = (filters(n)[0].spectrum((16, 16)) for n in (network, build("niff_resnet18")))
        assert torch.equal(first, other) is same


def spread(weight: torch.Tensor) -> float:
    return float(weight.detach().std())


def test_initialisation_is_that_of_the_base_networks():
    """Standard deviations of the Kaiming normal initialisation; the standard error on 4 * 512 values is 1.6%."""
    fan_out = filters(build("niff_resnet18"))[-1]
    assert spread(fan_out.real.last.weight) == pytest.approx(sqrt(2 / 512), rel=0.08)
    assert spread(fan_out.mix.weight) == pytest.approx(sqrt(2 / 512), rel=0.02)
    assert fan_out.real.last.bias.any()
    full = filters(build("niff_resnet18[mode=full]"))[-1]
    assert spread(full.imag.last.weight) == pytest.approx(sqrt(2 / 512**2), rel=0.02)
    fan_in = torch.cat([niff.real.last.weight.flatten() for niff in filters(build("niff_densenet121"))])
    assert spread(fan_in) == pytest.approx(sqrt(2 / 4), rel=0.02)
    for niff in filters(build("niff_mobilenetv2")):
        assert spread(niff.real.last.weight) == pytest.approx(sqrt(2 / niff.channels), rel=0.3)
        assert not any(bias.any() for name, bias in niff.named_parameters() if name.endswith("bias"))


def test_initialisation_of_convnext_is_that_of_torch():
    """Uniform within +-1 / sqrt(inputs)."""
    network = build("niff_convnext_t")
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for layer in layers:
        bound = 1 / sqrt(layer.weight[0].numel())
        assert 0.5 * bound < layer.weight.abs().max() <= bound
        assert layer.bias is None or layer.bias.any()
    assert len(layers) == 4 + 2 * 18 + 18 * 2 * 4 + 1


def forward_of(text: str, batch: int = 1) -> tuple[nn.Module, torch.Tensor]:
    return copy.deepcopy(planned(text)).eval(), torch.empty(batch, 3, 224, 224, device="meta")


@pytest.mark.parametrize(("text", "macs"), [
    # 1,814,073,344 of ResNet-18, whose 13 replaced 3x3 convolutions have equal cost
    ("niff_resnet18", 1_814_073_344 - 13 * 8 * 64 * 64 * 56 * 56),
    # 300,774,272 of MobileNetV2, without 9 per value of the replaced maps
    ("niff_mobilenetv2", 300_774_272 - 9 * (32 * 112**2 + 144 * 56**2 + 384 * 28**2 + 2688 * 14**2 + 2880 * 7**2)),
])  # fmt: skip
def test_multiply_adds_without_the_filters(text, macs):
    """In a frozen call, fvcore counts no multiply-adds for transforms and products of spectra."""
    network, x = forward_of(text)
    for niff in filters(network):
        niff.freeze()
    with torch.inference_mode():
        network(x)
        assert count(lambda: network(x)).macs == macs


@pytest.mark.parametrize("text", SMALL)
def test_every_operation_of_a_training_step_has_a_formula(text):
    network, x = copy.deepcopy(planned(text)).train(), torch.empty(2, 3, 224, 224, device="meta")

    def step() -> None:
        torch.autograd.grad(network(x).sum(), tuple(network.parameters()), allow_unused=True)

    with torch.no_grad():
        forward = count(lambda: network(x))
    assert count(step).macs > 2 * forward.macs > 0


@pytest.mark.parametrize("precision", PRECISIONS)
def test_official_convnext_block(vectors, precision):
    from torchvision.models.convnext import CNBlock

    dtype, suffix, tolerance = PRECISIONS[precision]
    files = vectors("niff/convnext_block_d8_n14_b2.npz")
    block = CNBlock(8, layer_scale=0.5, stochastic_depth_prob=0.0)
    convert(nn.Sequential(nn.Conv2d(3, 8, 1), block), 3, (14, 14))  # the first convolution of a network is never replaced
    block.to(dtype)
    weights = named(files, "w.", dtype)
    block.block[0].load_official({name.removeprefix("dwconv."): value for name, value in weights.items() if "dwconv" in name})
    parts = {"2.weight": "norm.weight", "2.bias": "norm.bias", "3.weight": "pwconv1.mlp.weight", "5.weight": "pwconv2.mlp.weight"}
    rest = {f"block.{ours}": weights[name] for ours, name in parts.items()} | {"layer_scale": weights["gamma"][:, None, None]}
    missing, unexpected = block.load_state_dict(rest, strict=False)
    assert not unexpected and all(name.startswith("block.0.") for name in missing)
    x = tensor(files["x"], dtype).requires_grad_()
    y = block(x)
    y.backward(tensor(files["grad_y"], dtype))
    assert relative_error(y, tensor(files[f"y{suffix}"], dtype)) < tolerance
    assert relative_error(x.grad, tensor(files[f"grad_x{suffix}"], dtype)) < tolerance


def test_depth_of_dropped_paths():
    from torchvision.ops import StochasticDepth

    def dropped(text: str) -> list[float]:
        with torch.device("meta"):
            network = nets.build(text, None, 10, 3, (64, 64))
        return [module.p for module in network.modules() if isinstance(module, StochasticDepth)]

    assert dropped("niff_convnext_t[drop_path=0.1]") == pytest.approx([0.1 * i / 17 for i in range(18)])
    assert not any(dropped("niff_convnext_t"))


@pytest.mark.parametrize(
    ("text", "size", "reason"),
    [
        ("niff_resnet18[mode=depthwise]", 64, "mode must be one of split, full"),
        ("niff_mobilenetv2[mode=split]", 64, "mode must be one of depthwise"),
        ("niff_resnet18[depth=3]", 64, "depth"),
        ("niff_convnext_t[mode=full]", 64, "mode"),
        ("niff_densenet121", 16, "images of 3x16x16"),
        ("niff_convnext_t", 16, "images of 3x16x16"),
    ],
)
def test_invalid_networks_raise(text, size, reason):
    with pytest.raises(ValueError, match=reason):
        nets.build(text, None, 10, 3, (size, size))
