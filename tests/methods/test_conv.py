"""Convolutions against direct sums: all sizes, both forms, gradients, parameter counts and FLOPs."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import methods
from methods import Unsupported
from methods.contract import relative_error
from methods.conv import FFT_FROM, Conv, DepthwiseConv, odd_sizes
from methods.parts.cost import bins, rfft2_flops
from tests.literal.conv import literal
from tests.reference import conv as oracle

MAPS = [(5, 5), (6, 4), (3, 7), (1, 4)]


def image(size, channels=3, batch=2, dtype=torch.float64):
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def depthwise(size, kernel, channels=3, **options):
    torch.manual_seed(0)
    return DepthwiseConv(channels, size, kernel, **options).double()


@pytest.mark.parametrize("size", MAPS)
@pytest.mark.parametrize("kernel", [1, 3, 5, 11])
def test_dense_is_the_direct_sum(size, kernel):
    torch.manual_seed(0)
    module, x = Conv(3, size, kernel).double(), image(size)
    expected = oracle.dense(x.numpy(), module.conv.weight.detach().numpy(), module.conv.bias.detach().numpy())
    assert relative_error(module(x), torch.from_numpy(expected)) < 1e-10


@pytest.mark.parametrize("backend", ["direct", "fft"])
@pytest.mark.parametrize("size", MAPS)
@pytest.mark.parametrize("kernel", [1, 3, 5, 7, "full", 19])
def test_depthwise_is_the_direct_sum(size, kernel, backend):
    """Including kernels as large as the map and larger than twice the map."""
    module, x = depthwise(size, kernel, backend=backend), image(size)
    expected = oracle.depthwise(x.numpy(), module.kernel().detach().numpy(), module.bias.detach().numpy())
    assert relative_error(module(x), torch.from_numpy(expected)) < 1e-10
    assert relative_error(module.freeze()(x), torch.from_numpy(expected)) < 1e-10


@pytest.mark.parametrize("size", [(6, 6), (5, 8)])
@pytest.mark.parametrize("kernel", [3, "full", 17])
def test_transform_has_the_gradients_of_the_direct_form(size, kernel):
    gradients = []
    for backend in ("direct", "fft"):
        module, x = depthwise(size, kernel, backend=backend), image(size).requires_grad_()
        (module(x) * image(size).flip(0)).sum().backward()
        gradients.append([x.grad, module.weight.grad, module.bias.grad])
    for direct, transform in zip(*gradients):
        assert relative_error(transform, direct) < 1e-10


@pytest.mark.parametrize("module", [Conv(2, 4, 3), *(DepthwiseConv(2, (3, 4), 5, backend=b) for b in ("direct", "fft"))])
def test_gradcheck(module):
    module, x = module.double(), image((3, 4), channels=2).requires_grad_()
    names, tensors = zip(*module.named_parameters())

    def forward(x, *values):
        return torch.func.functional_call(module, dict(zip(names, values)), (x,))

    assert torch.autograd.gradcheck(forward, (x, *tensors))


def transforms_run(module, x, monkeypatch, grad):
    """Return True if the forward pass calls `filter_depthwise`."""
    calls = []
    monkeypatch.setattr("methods.conv.filter_depthwise", lambda x, *rest: calls.append(1) or x)
    with torch.set_grad_enabled(grad):
        module(x)
    return bool(calls)


@pytest.mark.parametrize("mode", ["infer", "train"])
def test_auto_uses_the_transform_from_its_threshold(mode, monkeypatch):
    for kernel in (FFT_FROM[mode] - 2, FFT_FROM[mode]):
        module, x = depthwise((16, 16), kernel), image((16, 16))
        assert transforms_run(module, x, monkeypatch, mode == "train") is (kernel == FFT_FROM[mode])
    module.target = "cuda"
    assert not transforms_run(module, x, monkeypatch, mode == "train")


def test_auto_uses_the_inference_threshold_for_frozen_weights(monkeypatch):
    module, x = depthwise((16, 16), FFT_FROM["train"]), image((16, 16)).requires_grad_()
    module.requires_grad_(False)
    assert not transforms_run(module, x, monkeypatch, True)


@pytest.mark.parametrize(
    ("kernel", "resolution", "expected"),
    [(7, 5, (7, 7)), ("full", 14, (15, 15)), ("full", 7, (7, 7)), ("full", (14, 7), (15, 7)), ("full", 1, (1, 1))],
)
def test_odd_sizes(kernel, resolution, expected):
    assert odd_sizes(kernel, resolution) == expected


@pytest.mark.parametrize("kernel", [0, -3, 4, "half", 3.0, None])
def test_odd_sizes_unsupported(kernel):
    with pytest.raises(Unsupported, match="positive odd number"):
        odd_sizes(kernel, 8)


def test_unknown_backend():
    with pytest.raises(Unsupported, match="backend must be"):
        DepthwiseConv(4, 8, 3, backend="winograd")


@pytest.mark.parametrize(
    ("name", "kernel", "count"),
    [
        ("conv3", None, 96 * 96 * 9 + 96),
        ("conv7", None, 96 * 96 * 49 + 96),
        ("conv", 5, 96 * 96 * 25 + 96),
        ("dwconv3", None, 96 * 10),
        ("dwconv7", None, 96 * 50),
        ("dwconv13", None, 96 * 170),
        ("dwconv31", None, 96 * 962),
        ("dwconv31_direct", None, 96 * 962),
        ("dwconv51", None, 96 * 2602),
        ("dwconv_full", None, 96 * (29 * 29 + 1)),
        ("dwconv", 9, 96 * 82),
    ],
)
def test_parameter_counts(name, kernel, count):
    module = methods.get(name).build(96, 28, kernel)
    assert sum(p.numel() for p in module.parameters()) == count


def test_flops_by_hand():
    assert Conv(64, 8, 3).flops(8, 10) == (0, 2 * 64 * 64 * 9 * 80)
    assert DepthwiseConv(64, 8, 7).flops(8, 10) == (0, 2 * 64 * 49 * 80)
    # k = 17 on 8 x 8: cropped to 15 taps, padded to 8 + 7 -> 16 x 16 with 16 * 9 bins and 2.5 * 16 * 16 * 4 + 5 * 9 * 16 * 4 = 5440
    assert DepthwiseConv(64, 8, 17).flops(8, 8) == (64 * 5440, 64 * (2 * 5440 + 6 * 144))
    assert DepthwiseConv(64, 8, 17, backend="direct").flops(8, 8) == (0, 2 * 64 * 289 * 64)


def test_cost_of_a_transform():
    """2.5 n log2 n for n points if both sides are even powers of two, plus the additional column of a half spectrum."""
    assert rfft2_flops(16, 16) == 5440 == 2.5 * 256 * 8 + 5 * 16 * 4
    assert rfft2_flops(1, 8) == 2.5 * 8 * 3
    assert rfft2_flops(8, 1) == 5 * 8 * 3
    assert bins(7, 8) == 35 and bins(8, 7) == 32


@pytest.mark.parametrize("build", [lambda: Conv(4, 8, 5), lambda: DepthwiseConv(4, 8, 5)], ids=["dense", "depthwise"])
def test_flops_of_the_direct_forms_are_counted(build):
    module = build()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(image((8, 6), channels=4, batch=1, dtype=torch.float32))
    assert module.flops(8, 6) == (0, counter.get_total_flops())


@pytest.mark.parametrize("size", [(8, 8), (9, 14), (1, 30)])
@pytest.mark.parametrize("kernel", [15, "full", 51])
def test_flops_of_the_transform_are_at_the_sizes_of_the_forward(size, kernel, monkeypatch):
    """Taps that only touch zeros do not enlarge the spectrum passed to `filter_depthwise`."""
    sizes = []
    monkeypatch.setattr("methods.conv.filter_depthwise", lambda x, spectrum, size: sizes.append((spectrum.shape, size)) or x)
    module = depthwise(size, kernel, backend="fft")
    module(image(size))
    ((shape, (height, width)),) = sizes
    assert shape == (3, height, width // 2 + 1)
    assert height <= 2 * size[0] + 2 and module.flops(*size).kernel == 3 * rfft2_flops(height, width)


@pytest.mark.parametrize(("groups", "cls"), [(1, Conv), (6, DepthwiseConv)])
def test_load_official(groups, cls):
    torch.manual_seed(0)
    official, x = nn.Conv2d(6, 6, 5, padding=2, groups=groups), image((7, 8), channels=6, dtype=torch.float32)
    module = cls(6, (7, 8), 5)
    module.load_official(official.state_dict())
    assert relative_error(module(x), official(x)) < 1e-5
    for broken in ({"weight": official.weight}, {**official.state_dict(), "gamma": official.bias}):
        with pytest.raises((RuntimeError, KeyError, ValueError), match=r"weight|bias|gamma"):
            module.load_official(broken)


def test_initialisation_equals_that_of_torch():
    torch.manual_seed(0)
    module, official = DepthwiseConv(512, 8, 7), nn.Conv2d(512, 512, 7, groups=512)
    for ours, theirs in ((module.weight, official.weight), (module.bias, official.bias)):
        assert ours.abs().max() <= 1 / 7 and theirs.abs().max() <= 1 / 7
        assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.1)


@pytest.mark.parametrize("size", [(9, 9), (10, 7)])
@pytest.mark.parametrize("build", [lambda s: Conv(4, s, 5), lambda s: DepthwiseConv(4, s, 5), lambda s: DepthwiseConv(4, s, 17)])
def test_literal_form(build, size):
    torch.manual_seed(0)
    module, x = build(size).eval(), image(size, channels=4, dtype=torch.float32)
    assert relative_error(module(x), literal(module, x)) < 1e-5


def test_oracle_by_hand():
    x = np.arange(6.0).reshape(2, 3)
    right_neighbour = np.zeros((3, 3))
    right_neighbour[1, 2] = 1
    assert np.array_equal(oracle.correlate(x, right_neighbour), [[1, 2, 0], [4, 5, 0]])
