"""The dynamic filter against direct sums, the official mixer, block and network, and its symmetries."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from methods import Unsupported
from methods.contract import SIZES, relative_error
from methods.dynamic_filter import OFFICIAL, DynamicFilter, StarReLU
from methods.parts.cost import bins, rfft2_flops
from tests.literal.dynamic_filter import literal
from tests.reference import dynamic_filter as oracle
from tests.reference.channels_last import errors, leaves, maps, metaformer_block, norm, state
from tests.reference.global_filter import resized_kernel, taps

ABLATION = {"num_filters": 2, "expansion": 1, "activation": "gelu"}
OPTIONS = [{}, {**ABLATION, "router_ratio": 0.5}, {"num_filters": 1, "expansion": 1.5}]
RESIZED = ["bicubic", "pad_kernel", "pad_spectrum"]
CHANNELS = 4


def build(size, channels=CHANNELS, **options):
    """Use weights of order 1: with the published initialisation the output is near 0, which hides errors."""
    torch.manual_seed(0)
    module = DynamicFilter(channels, size, **options).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.numel() == 1), std=0.5)
    return module


def image(size, channels=CHANNELS, batch=2):
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def expected(module, x, kernels):
    """Evaluate the oracle with the weights of the module."""
    p = {name: parameter.detach().numpy() for name, parameter in module.named_parameters()}

    def activation(h):
        return oracle.star_relu(h, p["act.scale"], p["act.bias"]) if "act.scale" in p else oracle.gelu(h)

    def router(mean):
        weights = p["router.0.weight"], p["router.2.weight"], p["router.1.scale"], p["router.1.bias"]
        return oracle.routing(mean, *weights, len(kernels))

    return torch.from_numpy(oracle.dynamic_filter(x.numpy(), kernels, p["expand"], p["project"], activation, router))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_oracle(size, options):
    module, x = build(size, **options), image(size)
    reference = expected(module, x, [taps(pairs, size[1]) for pairs in module.basis.detach().numpy()])
    assert relative_error(module(x), reference) < 1e-10
    with torch.no_grad():  # in-place products and activation
        assert relative_error(module(x), reference) < 1e-10
        assert relative_error(module.freeze()(x), reference) < 1e-10


@pytest.mark.parametrize(("source", "target"), [((6, 8), (9, 10)), ((7, 5), (4, 6)), ((6, 6), (6, 7))], ids=str)
@pytest.mark.parametrize("mode", RESIZED)
def test_resizing_oracle(mode, source, target):
    module, x = build(source, resize=mode), image(target)
    reference = expected(module, x, [resized_kernel(p, source, target, mode) for p in module.basis.detach().numpy()])
    assert relative_error(module(x), reference) < 1e-10
    assert relative_error(module.freeze()(x), reference) < 1e-10


@pytest.mark.parametrize(
    ("size", "target", "options"),
    [
        ((4, 3), (4, 3), {}),
        ((3, 4), (3, 4), {"activation": "gelu", "num_filters": 2}),
        *(((2, 4), (4, 3), {"resize": mode, "num_filters": 2, "expansion": 1}) for mode in RESIZED),
    ],
    ids=str,
)
def test_gradcheck_of_every_parameter(size, target, options):
    module, x = build(size, channels=2, router_ratio=1, **options), image(target, channels=2, batch=1).requires_grad_()
    names, tensors = zip(*module.named_parameters())

    def forward(x, *values):
        return torch.func.functional_call(module, dict(zip(names, values)), (x,))

    assert torch.autograd.gradcheck(forward, (x, *tensors))


@pytest.mark.parametrize("size", SIZES)
def test_shift_equivariance(size):
    module, x = build(size), image(size)
    assert relative_error(module(x.roll((2, 5), (-2, -1))), module(x).roll((2, 5), (-2, -1))) < 1e-12


def test_each_image_has_its_own_filter():
    """The routing depends on the image, sums to 1, and is computed from the input of the mixer."""
    module, x = build((6, 7), router_ratio=4.0), image((6, 7))
    shares = module.routing(x)
    assert shares.shape == (2, 4, 8)
    torch.testing.assert_close(shares.sum(1), torch.ones(2, 8, dtype=torch.float64))
    assert relative_error(shares[0], shares[1]) > 1e-3
    torch.testing.assert_close(shares, module.routing(x.mean((2, 3), keepdim=True)))


@pytest.mark.parametrize("size", [(14, 15), (15, 14), (13, 14), (28, 28)])
def test_native_rejects_other_sizes(size):
    reason = f"14x14 do not fit a map of {size[0]}x{size[1]}"
    for call in (lambda m: m(torch.zeros(1, 4, *size)), lambda m: m.flops(*size), lambda m: m.freeze()(torch.zeros(1, 4, *size))):
        with pytest.raises(ValueError, match=reason):
            call(DynamicFilter(4, 14))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"resize": "bilinear"}, "bilinear"),
        ({"activation": "relu"}, "relu"),
        ({"num_filters": 0}, "0 filters"),
        ({"router_ratio": 0.2}, "0 router units"),
        ({"expansion": 0.2}, "0 hidden channels"),
    ],
)
def test_unsupported(options, reason):
    with pytest.raises(Unsupported, match=reason):
        DynamicFilter(4, 14, **options)


@pytest.mark.parametrize("size", SIZES)
def test_hermitian_spectra_give_the_same_output_on_the_cpu(size):
    """The published code does not make the spectra Hermitian."""
    module, x = build(size).float(), image(size).float()
    assert relative_error(literal(module, x), module(x)) < 1e-6


def test_parameter_counts():
    """At C = 64, 14 x 14: matrices 2 * 8192, router 1024 + 8192, spectra 14 * 8 * 4 * 2, two activations."""
    assert sum(p.numel() for p in DynamicFilter(64, 14).parameters()) == 26500
    expected = 2 * 64 * 64 + 64 * 16 + 16 * 2 * 64 + 2 + 12 * 11 * 2 * 2
    assert sum(p.numel() for p in DynamicFilter(64, (12, 20), **ABLATION).parameters()) == expected


def test_flops_by_hand():
    """C = 4, M = 8, one router unit, 8 x 8: a transform is 1080, a spectrum has 40 points."""
    matrices = 2 * 8 * 4 * 64 + 2 * 8 * 4 * 2 * 40
    expected = 2 * (4 * 1 + 1 * 4 * 8) + matrices + 2 * 4 * 8 * 2 * 40 + 6 * 8 * 40 + (8 + 4) * 1080
    assert DynamicFilter(4, 8).flops(8, 8) == (0, expected)
    assert DynamicFilter(4, 8, resize="bicubic").flops(8, 8) == (0, expected)
    assert DynamicFilter(4, 8, resize="pad_kernel").flops(16, 16).kernel == 4 * (1080 + rfft2_flops(16, 16))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_flops_of_the_matrix_products_are_those_run(options):
    module = DynamicFilter(8, (6, 7), **options).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.randn(1, 8, 6, 7))
    hidden = len(module.expand)
    fourier = (hidden + 8) * rfft2_flops(6, 7) + 6 * hidden * bins(6, 7)
    assert module.flops(6, 7).apply == counter.get_total_flops() + fourier


def test_literal_form_with_other_options():
    module, x = build((6, 8), resize="bicubic", activation="gelu").float(), image((9, 10)).float()
    assert relative_error(literal(module, x), module(x)) < 1e-5


def load(vectors, size, prefix="param.", **options):
    weights = state(vectors, prefix)
    module = DynamicFilter(weights["pwconv1.weight"].shape[1], size, **options)
    module.load_official(weights)
    return module


def official(module, prefix=""):
    """Map official names to our parameters and the permutation to the official order."""
    ours = dict(module.named_parameters())
    named = {key: name for key, name in OFFICIAL.items() if name in ours}
    return {prefix + key: (ours[name], (1, 2, 0, 3) if name == "basis" else None) for key, name in named.items()}


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("df_native_14x14", (14, 14), {}),
        ("df_native_7x7_odd", (7, 7), {}),
        ("df_native_12x20_nonsquare", (12, 20), {}),
        ("df_variant_f2_r8_gelu_e1", (14, 14), {**ABLATION, "router_ratio": 0.125}),
    ],
)
def test_official_mixer(vectors, name, size, options):
    data = vectors(f"dynamic_fft/{name}.npz")
    module = load(data, size, **options)
    assert max(errors(module, official(module), data, "native", size).values()) < 1e-5
    if "routing" in data:
        assert relative_error(module.routing(maps(data["native.x"], size)), torch.from_numpy(data["routing"])) < 1e-5


def test_official_filters_at_15_columns(vectors):
    """The published mixer accepts a 14 x 15 map with the spectra of 14 x 14; ours only if it was built for 14 x 15."""
    data = vectors("dynamic_fft/df_quirk_14x15_without_resize.npz")
    with pytest.raises(ValueError, match="14x14 do not fit a map of 14x15"):
        load(data, (14, 14))(maps(data["w15.x"], (14, 15)))
    module = load(data, (14, 15))
    assert max(errors(module, official(module), data, "w15", (14, 15)).values()) < 1e-5


@pytest.mark.parametrize(
    ("tag", "size"), [("r14", (14, 14)), ("r28", (28, 28)), ("r7", (7, 7)), ("r15", (15, 15)), ("r20x28", (20, 28))]
)
def test_official_resizing(vectors, tag, size):
    data = vectors("dynamic_fft/df_resize_from_14x14.npz")
    module = load(data, (14, 14), resize="bicubic")
    assert max(errors(module, official(module), data, tag, size).values()) < 1e-5
    if size != (14, 14):
        stored = torch.from_numpy(data[f"resized_{size[0]}x{size[1] // 2 + 1}"]).permute(2, 0, 1, 3)
        same = DynamicFilter(8, size)
        same.load_state_dict({**module.state_dict(), "basis": stored})
        assert relative_error(module._basis(size), same._basis(size)) < 1e-5


def test_official_block(vectors):
    data = vectors("dynamic_fft/metaformer_block_df_7x7.npz")
    p, module = leaves(data), load(data, (7, 7), "param.token_mixer.")
    parameters = {key: (tensor, None) for key, tensor in p.items() if not key.startswith("token_mixer.")}
    parameters |= official(module, "token_mixer.")

    def run(x):
        return metaformer_block(x.permute(0, 2, 3, 1), module, p).permute(0, 3, 1, 2)

    assert max(errors(run, parameters, data, "native", (7, 7)).values()) < 1e-5


def test_official_small_network(vectors):
    """DFFormer with stages of 1, 1, 2 and 1 blocks on 64 x 96 pixels: outputs of each stage and logits."""
    data = vectors("dynamic_fft/tiny_dfformer_64x96.npz")
    p = state(data)
    x = torch.from_numpy(data["n.x"]).permute(0, 2, 3, 1)
    for stage, depth in enumerate((1, 1, 2, 1)):
        down = state(data, f"param.downsample_layers.{stage}.")
        x = norm(x, down["pre_norm.weight"]) if stage else x
        stride, padding = (2, 1) if stage else (4, 2)
        x = F.conv2d(x.permute(0, 3, 1, 2), down["conv.weight"], down["conv.bias"], stride, padding).permute(0, 2, 3, 1)
        x = x if stage else norm(x, down["post_norm.weight"])
        assert relative_error(x, torch.from_numpy(data[f"down{stage}"])) < 1e-5
        for i in range(depth):
            prefix = f"param.stages.{stage}.{i}."
            x = metaformer_block(x, load(data, tuple(x.shape[1:3]), f"{prefix}token_mixer."), state(data, prefix))
        assert relative_error(x, torch.from_numpy(data[f"stage{stage}"])) < 1e-5
    x = F.layer_norm(x.mean((1, 2)), (32,), p["norm.weight"], p["norm.bias"], 1e-6)
    hidden = F.relu(F.linear(x, p["head.fc1.weight"], p["head.fc1.bias"])).square()
    hidden = F.layer_norm(hidden, (128,), p["head.norm.weight"], p["head.norm.bias"])
    assert relative_error(F.linear(hidden, p["head.fc2.weight"], p["head.fc2.bias"]), torch.from_numpy(data["n.y"])) < 1e-5


def test_official_star_relu(vectors):
    data = vectors("dynamic_fft/starrelu.npz")
    act = StarReLU()
    act.load_state_dict(state(data))
    x = torch.from_numpy(data["n.x"]).requires_grad_()
    y = act(x)
    y.backward(torch.from_numpy(data["n.gy"]))
    with torch.no_grad():
        assert relative_error(act(x), y) < 1e-6
    for ours, name in [(y, "y"), (x.grad, "gx"), (act.scale.grad, "grad.scale"), (act.bias.grad, "grad.bias")]:
        assert relative_error(ours, torch.from_numpy(data[f"n.{name}"])) < 1e-5


def test_official_names_are_checked():
    module = DynamicFilter(4, 6)
    weights = {key: module.state_dict()[ours] for key, ours in OFFICIAL.items()}
    weights["complex_weights"] = weights["complex_weights"].permute(1, 2, 0, 3)
    module.load_official(weights)
    for wrong in ({}, {**weights, "pwconv1.bias": torch.zeros(8)}, dict(list(weights.items())[1:])):
        with pytest.raises(KeyError, match="complex_weights"):
            module.load_official(wrong)
    with pytest.raises(KeyError, match="act1"):
        DynamicFilter(4, 6, activation="gelu").load_official(weights)


def test_autocast_runs_the_fourier_part_in_float32():
    """Only W_1 and the router run in bfloat16."""
    module, x = build((8, 8)).float(), image((8, 8)).float()
    spectra = []
    module.act.register_forward_hook(lambda _, __, hidden: spectra.append(hidden.dtype))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        y = module(x)
        assert module._hidden_spectrum(x).dtype == torch.complex64
    assert y.dtype == torch.bfloat16 and spectra[0] == torch.bfloat16
    assert relative_error(y, module(x)) < 0.03


def test_frozen_spectra_are_cached_per_size():
    module = build((6, 6), resize="pad_spectrum").freeze()
    with torch.no_grad():
        module(image((9, 8)))
        cache = module._cache
        module(image((9, 8)))
        assert module._cache is cache
        module(image((6, 6)))
        assert module._cache is not cache
