"""Global filters and resized spectra against direct sums, the official filter and blocks, and symmetries."""

import pytest
import torch
import torch.nn.functional as F

from methods import Unsupported
from methods.contract import SIZES, relative_error
from methods.dynamic_filter import StarReLU
from methods.global_filter import GlobalFilter
from methods.parts.cost import rfft2_flops
from methods.parts.filter_resize import filter_spectrum
from methods.parts.spectral import irfft2
from tests.literal.global_filter import literal
from tests.reference import global_filter as oracle
from tests.reference.channels_last import errors, leaves, maps, state

RESIZED = ["bicubic", "pad_kernel", "pad_spectrum"]
# enlarging and shrinking between odd and even sizes, of one axis, in opposite directions, and the smallest maps
STEPS = [((6, 8), (12, 16)), ((6, 8), (7, 9)), ((7, 9), (10, 14)), ((8, 12), (6, 7)), ((9, 7), (8, 4)), ((6, 6), (6, 7))]
STEPS += [((6, 6), (9, 6)), ((5, 8), (9, 5)), ((8, 5), (5, 8)), ((2, 2), (4, 3)), ((4, 3), (2, 2)), ((3, 3), (1, 2))]


def build(size, channels=3, resize="native"):
    torch.manual_seed(0)
    module = GlobalFilter(channels, size, resize=resize).double()
    torch.nn.init.normal_(module.weight)
    return module


def image(size, channels=3, batch=2):
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("size", [*SIZES, (1, 6), (5, 1)])
def test_oracle(size):
    module, x = build(size), image(size)
    kernels = [oracle.taps(pairs, size[1]) for pairs in module.weight.detach().numpy()]
    expected = torch.from_numpy(oracle.global_filter(x.numpy(), kernels))
    assert relative_error(module(x), expected) < 1e-10
    assert relative_error(module.freeze()(x), expected) < 1e-10


@pytest.mark.parametrize(("source", "target"), STEPS, ids=str)
@pytest.mark.parametrize("mode", RESIZED)
def test_resizing_oracle(mode, source, target):
    module, x = build(source, resize=mode), image(target)
    pairs = module.weight.detach().numpy()
    kernels = [oracle.resized_kernel(p, source, target, mode) for p in pairs]
    expected = torch.from_numpy(oracle.global_filter(x.numpy(), kernels))
    assert relative_error(module(x), expected) < 1e-10
    assert relative_error(module.freeze()(x), expected) < 1e-10
    assert relative_error(module(image(source)), build(source)(image(source))) < 1e-12  # unchanged at the built size


@pytest.mark.parametrize(("source", "target"), [((6, 8), (12, 9)), ((7, 5), (8, 12)), ((6, 6), (6, 7))])
@pytest.mark.parametrize("mode", ["pad_kernel", "pad_spectrum"])
def test_enlarging_is_lossless(mode, source, target):
    spectrum = filter_spectrum(build(source).weight, source, source, "native")
    grown = torch.view_as_real(filter_spectrum(build(source).weight, source, target, mode))
    back = filter_spectrum(grown.contiguous(), target, source, mode)
    assert relative_error(torch.view_as_real(back), torch.view_as_real(spectrum)) < 1e-12


def test_pad_spectrum_keeps_the_gain_of_each_frequency():
    """A wave of 2 x 3 periods per map has the same gain at 8 x 10 and at 16 x 15."""
    module = build((8, 10), channels=1, resize="pad_spectrum")

    def response(height, width):
        rows, cols = torch.arange(height).double()[:, None] / height, torch.arange(width).double() / width
        return module(torch.cos(2 * torch.pi * (2 * rows + 3 * cols) + 0.3)[None, None])

    assert relative_error(response(16, 15)[..., ::2, ::3], response(8, 10)[..., ::2]) < 1e-10


@pytest.mark.parametrize("size", [(14, 15), (15, 14), (13, 14), (28, 28)])
def test_native_rejects_other_sizes(size):
    for module in (GlobalFilter(2, 14), GlobalFilter(2, 14).freeze()):
        with pytest.raises(ValueError, match=f"14x14 do not fit a map of {size[0]}x{size[1]}"):
            module(torch.zeros(1, 2, *size))
    with pytest.raises(ValueError, match="do not fit"):
        GlobalFilter(2, 14).flops(*size)


def test_unknown_mode():
    with pytest.raises(Unsupported, match="bilinear"):
        GlobalFilter(2, 14, resize="bilinear")


@pytest.mark.parametrize(("mode", "size"), [("native", (4, 6)), ("native", (3, 5)), *((mode, (6, 5)) for mode in RESIZED)])
def test_gradcheck(mode, size):
    module, x = build((4, 6) if mode != "native" else size, channels=2, resize=mode), image(size, channels=2).requires_grad_()

    def forward(x, weight):
        return torch.func.functional_call(module, {"weight": weight}, (x,))

    assert torch.autograd.gradcheck(forward, (x, module.weight))


@pytest.mark.parametrize("size", SIZES)
def test_shift_equivariance(size):
    module, x = build(size), image(size)
    assert relative_error(module(x.roll((2, 5), (-2, -1))), module(x).roll((2, 5), (-2, -1))) < 1e-12


@pytest.mark.parametrize("size", SIZES)
def test_hermitian_spectra_give_the_same_output_on_the_cpu(size):
    module, x = build(size).float(), image(size).float()
    raw = torch.view_as_complex(module.weight)
    used = filter_spectrum(module.weight, size, size, "native")
    assert relative_error(torch.view_as_real(used), torch.view_as_real(raw)) > 0.1
    plain = torch.fft.irfft2(torch.fft.rfft2(x) * raw, s=size)
    assert relative_error(module(x), plain) < 1e-6


@pytest.mark.parametrize("size", [*SIZES, (1, 6)])
def test_kernel_is_a_circular_cross_correlation(size):
    module, x = build(size), image(size)
    kernel = module.kernel()
    half = [k // 2 for k in kernel.shape[-2:]]
    assert kernel.shape == (3, 2 * (size[0] // 2) + 1, 2 * (size[1] // 2) + 1)
    padded = F.pad(x, (half[1], half[1], half[0], half[0]), mode="circular")
    assert relative_error(F.conv2d(padded, kernel[:, None], groups=3), module(x)) < 1e-10


def test_kernel_of_even_maps_is_odd_and_splits_its_border():
    kernel = build((6, 4)).kernel()
    torch.testing.assert_close(kernel[:, 0], kernel[:, -1])
    torch.testing.assert_close(kernel[:, :, 0], kernel[:, :, -1])


@pytest.mark.parametrize(("size", "columns"), [((14, 14), 8), ((12, 20), 11), ((7, 7), 4)])
def test_parameter_counts(size, columns):
    assert sum(p.numel() for p in GlobalFilter(64, size).parameters()) == 2 * 64 * size[0] * columns


def test_flops_by_hand():
    """8 x 8: a transform is 2.5 * 64 * 3 + 5 * 5 * 8 * 3 = 1080, a spectrum has 40 points."""
    assert GlobalFilter(4, 8).flops(8, 8) == (0, 4 * (2 * 1080 + 6 * 40))
    assert GlobalFilter(4, 8, resize="bicubic").flops(16, 16).kernel == 0
    assert GlobalFilter(4, 8, resize="pad_spectrum").flops(16, 16).kernel == 0
    assert GlobalFilter(4, 8, resize="pad_kernel").flops(16, 16).kernel == 4 * (1080 + rfft2_flops(16, 16))
    assert GlobalFilter(4, 8, resize="pad_kernel").flops(8, 8).kernel == 0


def official(vectors, resize="native", size=None):
    weight = vectors["param.complex_weight"]
    height, columns, channels, _ = weight.shape
    module = GlobalFilter(channels, size or (height, 2 * (columns - 1)), resize=resize)
    module.load_official(state(vectors))
    return module


@pytest.mark.parametrize(("name", "size"), [("gfnet_globalfilter", (14, 14)), ("gfnet_globalfilter_12x20", (12, 20))])
def test_official_filter(vectors, name, size):
    data = vectors(f"dynamic_fft/{name}.npz")
    module = official(data)
    assert max(errors(module, {"complex_weight": (module.weight, (1, 2, 0, 3))}, data, "native", size).values()) < 1e-5


def test_official_fine_tuning_at_384(vectors):
    """24 x 24 tokens with the filters of 14 x 14."""
    data = vectors("dynamic_fft/gfnet_globalfilter.npz")
    module = official(data, "bicubic")
    assert relative_error(module(maps(data["finetune384.x"], (24, 24))), maps(data["finetune384.y"], (24, 24))) < 1e-5
    stored = torch.from_numpy(data["finetune384.weight"]).permute(2, 0, 1, 3).contiguous()
    expected = filter_spectrum(stored, (24, 24), (24, 24), "native")
    resized = filter_spectrum(module.weight, (14, 14), (24, 24), "bicubic")
    assert relative_error(torch.view_as_real(resized), torch.view_as_real(expected)) < 1e-5


@pytest.mark.parametrize("name", ["gfnet_block_7x7", "gfnet_block_layerscale_7x7"])
def test_official_block(vectors, name):
    """x + gamma * MLP(norm2(filter(norm1 x))), a GELU network of ratio 4, norms with eps 1e-6."""
    data = vectors(f"dynamic_fft/{name}.npz")
    p = leaves(data)
    module = GlobalFilter(16, 7)
    module.load_official({"complex_weight": p["filter.complex_weight"].detach()})

    def norm(x, which):
        return F.layer_norm(x, (16,), p[f"{which}.weight"], p[f"{which}.bias"], 1e-6)

    def block(x):
        tokens = x.permute(0, 2, 3, 1)
        filtered = norm(module(norm(tokens, "norm1").permute(0, 3, 1, 2)).permute(0, 2, 3, 1), "norm2")
        hidden = F.gelu(F.linear(filtered, p["mlp.fc1.weight"], p["mlp.fc1.bias"]))
        result = F.linear(hidden, p["mlp.fc2.weight"], p["mlp.fc2.bias"])
        return (tokens + p.get("gamma", 1.0) * result).permute(0, 3, 1, 2)

    parameters = {key: (tensor, None) for key, tensor in p.items()}
    parameters["filter.complex_weight"] = (module.weight, (1, 2, 0, 3))
    assert max(errors(block, parameters, data, "native", (7, 7)).values()) < 1e-5


def test_official_gfformer_filter(vectors):
    """The same filter between two pointwise layers: W_2 filter(StarReLU(W_1 x))."""
    data = vectors("dynamic_fft/gfformer_globalfilter_14x14.npz")
    p = leaves(data)
    module, act = GlobalFilter(16, 14), StarReLU()
    module.load_official({"complex_weight": p["complex_weights"].detach()})
    act.load_state_dict({"scale": p["act1.scale"], "bias": p["act1.bias"]})

    def mixer(x):
        hidden = act(F.linear(x.permute(0, 2, 3, 1), p["pwconv1.weight"])).permute(0, 3, 1, 2)
        return F.linear(module(hidden).permute(0, 2, 3, 1), p["pwconv2.weight"]).permute(0, 3, 1, 2)

    parameters = {key: (p[key], None) for key in ("pwconv1.weight", "pwconv2.weight")}
    parameters |= {"complex_weights": (module.weight, (1, 2, 0, 3))}
    parameters |= {"act1.scale": (act.scale, None), "act1.bias": (act.bias, None)}
    assert max(errors(mixer, parameters, data, "native", (14, 14)).values()) < 1e-5


def test_official_names_are_checked():
    module, weight = GlobalFilter(2, 4), torch.zeros(4, 3, 2, 2)
    for wrong in ({}, {"weight": weight}, {"complex_weight": weight, "bias": weight}):
        with pytest.raises(KeyError, match="complex_weight"):
            module.load_official(wrong)


@pytest.mark.parametrize("size", SIZES)
def test_literal_form(size):
    module, x = build(size).float(), image(size).float()
    assert relative_error(literal(module, x), module(x)) < 1e-5


def test_frozen_spectrum_is_cached_per_size():
    module = build((6, 6), resize="pad_kernel").freeze()
    with torch.no_grad():
        module(image((9, 8)))
        cache = module._cache
        module(image((9, 8)))
        assert module._cache is cache
        module(image((6, 6)))
        assert module._cache is not cache


def test_random_filters_lose_energy_in_bicubic_resizing():
    """The published resizing leaves about 0.75 of the energy of white kernels at twice the size."""
    weight = build((14, 14), channels=64).weight.detach()
    energy = [irfft2(filter_spectrum(weight, (14, 14), (n, n), "bicubic"), (n, n)).square().sum() for n in (14, 28)]
    assert 0.7 < energy[1] / energy[0] < 0.8
