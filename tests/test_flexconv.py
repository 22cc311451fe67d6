"""FlexConv, dense and depthwise, against point-by-point sums, the official layers, and its own three ways of applying a kernel."""

import copy
import math

import numpy as np
import pytest
import torch

import methods
from bench.contract import distance
from benchmarks.literal.flexconv import literal
from methods import Unsupported
from methods.antialias import alias_penalty
from methods.continuous import horizon_of
from methods.dense_paths import best_tiling
from methods.flexconv import DepthwiseFlexConv, FlexConv
from tests.reference import flexconv as oracle

BACKENDS = {FlexConv: ("direct", "fft", "tiles", "auto"), DepthwiseFlexConv: ("direct", "fft", "auto")}
SMALL = {"hidden": 5, "layers": 2}
LOW_OMEGA = {FlexConv: {}, DepthwiseFlexConv: {"omega": 1.5}}
# (rows, columns, horizon, mean, sigma): crops 1 x 1 unless kept open, anisotropic, off centre, whole, and larger than the map
GEOMETRY = [
    (6, 6, None, (0.0, 0.0), (0.075, 0.075)),
    (7, 5, 11, (0.1, -0.05), (0.3, 0.12)),
    (9, 12, 13, (0.0, 0.0), (0.09, 0.4)),
    (4, 5, 15, (0.2, 0.1), (0.5, 0.6)),
    (1, 8, 9, (0.0, -0.3), (0.4, 0.2)),
]


def image(height, width, channels=3, batch=2, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, channels, height, width, generator=generator, dtype=dtype)


def set_mask(module, mean, sigma):
    with torch.no_grad():
        module.mask.mean.copy_(torch.tensor(mean))
        module.mask.sigma.copy_(torch.tensor(sigma))
    return module


def build(cls, size, horizon, mean=(0.0, 0.0), sigma=(0.3, 0.3), channels=3, **options):
    torch.manual_seed(0)
    module = cls(channels, size, horizon, **{**SMALL, **LOW_OMEGA[cls], **options}).double()
    with torch.no_grad():
        module.bias.copy_(torch.linspace(-0.5, 0.5, len(module.bias)))
    return set_mask(module, mean, sigma)


def arrays(module):
    return {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}


def expected(module, x, features, min_half_width=1, masked=True, crop=True, epsilon=0.0):
    p, mask = arrays(module), module.mask
    means, sigmas = p["mask.mean"], p["mask.sigma"]
    axes = [oracle.crop(module.horizon, m, s, mask.threshold, min_half_width) for m, s in zip(means, sigmas)]
    if not crop:
        axes = [oracle.axis(module.horizon)] * 2
    kernel = oracle.kernel(p, *axes, features, epsilon, masked, module.scale)
    if isinstance(module, DepthwiseFlexConv):
        y = oracle.convolve(x.numpy(), kernel, p["bias"], depthwise=True)
        return np.einsum("oi,bihw->bohw", p["pointwise.weight"][:, :, 0, 0], y) + p["pointwise.bias"][:, None, None]
    return oracle.convolve(x.numpy(), kernel.reshape(len(p["bias"]), -1, *kernel.shape[1:]), p["bias"])


def all_modes(module, x):
    """The output in training, in inference and frozen, twice."""
    outputs = [module.train()(x), module.eval()(x)]
    with torch.no_grad():
        outputs += [module(x), module.freeze()(x), module(x)]
    return outputs


@pytest.mark.parametrize("geometry", GEOMETRY, ids=str)
@pytest.mark.parametrize("cls", [FlexConv, DepthwiseFlexConv])
def test_oracle_on_every_path_and_in_every_mode(cls, geometry):
    height, width, horizon, mean, sigma = geometry
    x = image(height, width)
    for backend in BACKENDS[cls]:
        module = build(cls, (height, width), horizon, mean, sigma, backend=backend, learn_mean=True)
        y = torch.from_numpy(expected(module, x, oracle.gabor_features, epsilon=module.mask.epsilon))
        for output in all_modes(module, x):
            assert distance(output, y) < 1e-10


OPTIONS = {
    "isotropic": ({"kernel_net": "gabor"}, {}),
    "sines": ({"kernel_net": "fourier", "omega": 6.0}, {}),
    "unmasked": ({"mask": False}, {"masked": False}),
    "uncropped": ({"crop": False}, {"crop": False}),
    "threshold": ({"threshold": 0.4}, {}),
    "wide": ({"min_half_width": 3}, {"min_half_width": 3}),
    "centred": ({"learn_mean": False}, {"epsilon": 1e-8}),
    "chang": ({"init": "chang"}, {}),
    "outputs": ({"out_channels": 5}, {}),
}


@pytest.mark.parametrize(("options", "same"), OPTIONS.values(), ids=OPTIONS)
def test_oracle_with_every_option(options, same):
    x = image(6, 9)
    module = build(FlexConv, (6, 9), 9, (0.0, 0.0), (0.1, 0.25), **options)
    y = torch.from_numpy(expected(module, x, oracle.gabor_features, **same))
    for output in all_modes(module, x):
        assert distance(output, y) < 1e-10


def test_oracle_with_sine_networks():
    x = image(5, 6)
    for kind in ("siren", "nsiren"):
        module = build(FlexConv, (5, 6), 7, kernel_net=kind, layers=3, omega=4.0)
        y = expected(module, x, lambda p, position, kind=kind: oracle.siren_features(p, position, 4.0, kind == "siren"))
        assert distance(module(x), torch.from_numpy(y)) < 1e-10


def test_paths_agree_on_an_anisotropic_kernel_larger_than_a_tile():
    x = image(40, 31, batch=1)
    outputs = []
    for backend in BACKENDS[FlexConv]:
        module = build(FlexConv, (40, 31), 33, (0.1, -0.05), (0.3, 0.15), backend=backend)
        assert module.cropped() == (23, 11)
        outputs += all_modes(module, x)
    assert all(distance(output, outputs[0]) < 1e-12 for output in outputs)
    assert best_tiling((40, 31), (23, 11), (3, 3), 6, False).tiles > 1


@pytest.mark.parametrize("kernel_net", ["magnet", "siren", "mlp"])
@pytest.mark.parametrize("backend", ["direct", "tiles"])
def test_gradients(backend, kernel_net):
    module = build(
        FlexConv, (5, 6), 7, (0.1, -0.2), (0.3, 0.2), 2, backend=backend, kernel_net=kernel_net, hidden=3, out_channels=3
    )
    names = [name for name, _ in module.named_parameters()]

    def call(x, *values):
        return torch.func.functional_call(module, dict(zip(names, values)), (x,))

    assert torch.autograd.gradcheck(call, (image(5, 6, 2, 1).requires_grad_(), *module.parameters()))


@pytest.mark.parametrize("backend", BACKENDS[DepthwiseFlexConv])
def test_gradients_of_the_depthwise_layer(backend):
    module = build(DepthwiseFlexConv, (5, 6), 7, sigma=(0.3, 0.2), channels=2, backend=backend, hidden=3, learn_mean=True)
    names = [name for name, _ in module.named_parameters()]

    def call(x, *values):
        return torch.func.functional_call(module, dict(zip(names, values)), (x,))

    assert torch.autograd.gradcheck(call, (image(5, 6, 2, 1).requires_grad_(), *module.parameters()))


# --- the official layers ---

CCNN_FULL = {"hidden": 16, "learn_mean": False, "init": "chang"}
OFFICIAL = {
    "flexconv_default_crop5": (FlexConv, 3, 4, 33, {}),
    "flexconv_crop_nonsquare": (FlexConv, 3, 2, 33, {}),
    "flexconv_nocrop_k17": (FlexConv, 2, 3, 17, {}),
    "flexconv_crop_disabled_k17": (FlexConv, 2, 3, 17, {"crop": False}),
    "flexconv_mask_off_k17": (FlexConv, 2, 2, 17, {"mask": False}),
    "flexconv_fft_k65_nocrop": (FlexConv, 2, 2, 65, {}),
    "flexconv_fft_k65_crop": (FlexConv, 2, 2, 65, {}),
    "flexconv_fft_requested_but_small": (FlexConv, 2, 2, 65, {}),
    "ckconv_magnet_k15_fft": (FlexConv, 2, 3, 15, {"mask": False, "crop": False}),
    "flexconv_siren_k17": (FlexConv, 2, 3, 17, {"kernel_net": "siren"}),
    "flexconv_gabor_k17": (FlexConv, 2, 3, 17, {"kernel_net": "gabor"}),
    "ccnn_flexconv_full_k17": (FlexConv, 3, 4, 17, CCNN_FULL),
    "ccnn_separable_crop5": (DepthwiseFlexConv, 6, 4, 33, {"hidden": 16}),
    "ccnn_separable_crop_nonsquare": (DepthwiseFlexConv, 6, 6, 33, {"hidden": 16}),
    "ccnn_separable_nocrop_k17": (DepthwiseFlexConv, 4, 8, 17, {"hidden": 16}),
}
# With omega_0 = 977 the sines' arguments reach 5e3, of which float32 keeps four decimals: the official values are that uncertain
TOLERANCE = {"ccnn_separable_crop5": 1e-4}


def part(data, prefix):
    return {key.removeprefix(prefix): torch.from_numpy(value) for key, value in data.items() if key.startswith(prefix)}


def official(name, data, backend="auto"):
    cls, inputs, outputs, horizon, options = OFFICIAL[name]
    module = cls(inputs, data["x"].shape[-2:], horizon, out_channels=outputs, backend=backend, **options)
    module.load_official(part(data, "param/"))
    return module


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_layers(vectors, name):
    data = vectors(f"flexconv/{name}.npz")
    x = torch.from_numpy(data["x"])
    for backend in BACKENDS[OFFICIAL[name][0]]:
        module = official(name, data, backend)
        tolerance = TOLERANCE.get(name, 1e-5)
        assert distance(module.kernel(), torch.from_numpy(data["kernel"]).reshape(module.kernel().shape)) < tolerance
        for output in all_modes(module, x):
            assert distance(output, torch.from_numpy(data["y"])) < tolerance


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_gradients(vectors, name):
    data = vectors(f"flexconv/{name}.npz")
    if "grad_out" not in data:
        pytest.skip("no gradients are stored")
    for backend in BACKENDS[OFFICIAL[name][0]]:
        module, x = official(name, data, backend), torch.from_numpy(data["x"]).requires_grad_()
        module(x).backward(torch.from_numpy(data["grad_out"]))
        assert distance(x.grad, torch.from_numpy(data["grad/x"])) < TOLERANCE.get(name, 1e-5)
        constants = {key: torch.zeros(2) for key in ("mask_mean_param",) if "grad/mask_width_param" in data}
        theirs = module.from_official(methods.official_weights.Weights(part(data, "grad/") | constants))
        for key, parameter in module.named_parameters():
            assert distance(parameter.grad, theirs[key]) < TOLERANCE.get(name, 1e-5), key


@pytest.mark.parametrize("name", [name for name in OFFICIAL if name.startswith("ccnn")])
def test_chang_factor_of_a_layer_that_never_ran(vectors, name):
    data = vectors(f"flexconv/{name}.npz")
    fresh = part(data, "param/") | part(data, "param_before_first_forward/") | {"initialized": torch.tensor([False])}
    done = official(name, data)
    module = official(name, data)
    module.load_official(fresh)
    assert distance(module.net.out_weight, done.net.out_weight) < 1e-6


def test_official_across_resolutions(vectors):
    data = vectors("flexconv/cross_resolution_16_to_32.npz")
    module = FlexConv(2, 16, out_channels=3)
    module.load_official(part(data, "param/"))
    for size in (16, 32):
        module.at_resolution(size)
        assert module.scale == (16 / size) ** 2 and module.horizon == size + 1
        assert distance(module.kernel(), torch.from_numpy(data[f"kernel{size}"])) < 1e-5
        assert distance(module(torch.from_numpy(data[f"x{size}"])), torch.from_numpy(data[f"y{size}"])) < 1e-5


def test_official_network(vectors):
    """A whole FlexNet-3: stem, residual blocks, batch norm, pooling."""
    data = vectors("flexconv/flexnet3_tiny_eval.npz")
    state = part(data, "param/")

    def conv(name, x):
        own = {key.removeprefix(name + "."): value for key, value in state.items() if key.startswith(name + ".")}
        inputs, outputs = x.shape[1], len(own["bias"])
        module = FlexConv(inputs, 20, int(own["train_length"]), hidden=8, out_channels=outputs)
        module.load_official(own)
        sizes.append(module.cropped())
        return module(x)

    def norm(name, x):
        return torch.nn.functional.batch_norm(
            x, *(state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        )

    sizes = []
    with torch.no_grad():
        x = torch.relu(norm("norm1", conv("cconv1", torch.from_numpy(data["x"]))))
        for block in ("blocks.0", "blocks.1", "blocks.2"):
            y = torch.relu(norm(block + ".norm1", conv(block + ".cconv1", x)))
            y = norm(block + ".norm2", conv(block + ".cconv2", y))
            if f"{block}.shortcut.0.weight" in state:
                x = torch.conv2d(x, state[f"{block}.shortcut.0.weight"], state[f"{block}.shortcut.0.bias"])
            x = torch.relu(x + y)
        logits = torch.conv2d(x.mean((2, 3), keepdim=True), state["out_layer.weight"], state["out_layer.bias"]).flatten(1)
    assert [list(size) for size in sizes] == data["kernel_sizes"][:, 2:].tolist()
    assert distance(logits, torch.from_numpy(data["logits"])) < 1e-5


def test_official_weights_that_do_not_fit_are_refused(vectors):
    data = vectors("flexconv/flexconv_nocrop_k17.npz")
    state, module = part(data, "param/"), FlexConv(2, 16, 17, out_channels=3)
    with pytest.raises(KeyError, match=r"lack 'bias'"):
        module.load_official({key: value for key, value in state.items() if key != "bias"})
    with pytest.raises(KeyError, match=r"unknown keys .* extra"):
        module.load_official(state | {"extra": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"kernel_size=17"):
        FlexConv(2, 32, out_channels=3).load_official(state)
    with pytest.raises(ValueError, match=r"shape"):
        FlexConv(3, 16, 17).load_official(state)
    with pytest.raises(ValueError, match=r"mask_threshold"):
        FlexConv(2, 16, 17, out_channels=3, threshold=0.2).load_official(state)


# --- size, counts, cost ---


def test_horizon():
    assert [horizon_of(None, size) for size in (1, 7, 32, (9, 12), (15, 4))] == [3, 7, 33, 13, 15]
    for wrong in (4, 1, "full"):
        with pytest.raises(Unsupported, match="odd"):
            FlexConv(2, 8, wrong)
    for wrong in (
        {"backend": "slow"},
        {"init": "zero"},
        {"kernel_net": "rbf"},
        {"layers": 0},
        {"kernel_net": "mlp", "antialias": 0.1},
    ):
        with pytest.raises(Unsupported):
            FlexConv(2, 8, **wrong)


@pytest.mark.parametrize("channels", [4, 32])
def test_parameter_counts(channels):
    def count(name, **options):
        return sum(p.numel() for p in methods.get(name).build(channels, 32, **options).parameters())

    dense = 33 * channels * channels + channels
    assert count("flexconv") == 4064 + dense + 4
    assert count("flexconv", kernel_net="siren") == 1152 + dense + 4
    assert count("flexconv", kernel_net="gabor") == 3936 + dense + 4
    assert count("flexconv", mask=False, crop=False) == 4064 + dense
    assert count("flexconv_dw") == 4064 + 33 * channels + channels + 2 + channels * channels + channels
    assert count("flexconv_dw", learn_mean=True) == count("flexconv_dw") + 2


def test_the_kernel_grows_with_its_mask_from_the_smallest_size():
    module = FlexConv(4, 7)  # cropped to 1 x 1 by the published rule
    optimiser = torch.optim.SGD([module.mask.sigma], lr=0.02)
    sizes = []
    for _ in range(40):
        optimiser.zero_grad()
        kernel = module.kernel()
        sizes.append(kernel.shape[-1])
        (-(kernel**2).sum()).backward()
        optimiser.step()
    assert sizes[0] == 3 and sizes[-1] == 7 and module.cropped() == (7, 7)
    assert FlexConv(4, 7, min_half_width=0).cropped() == (1, 1)


def test_deployed_at_double_resolution_the_kernel_passes_through_the_same_values():
    module = FlexConv(3, 16, sigma=0.6).double()
    coarse = module.kernel()
    fine = module.at_resolution(32).kernel()
    assert module.cropped() == (33, 33)
    assert distance(4 * fine[..., ::2, ::2], coarse) < 1e-12
    assert distance(module.at_resolution(16).kernel(), coarse) == 0


def test_frozen_follows_mask_and_resolution():
    module = build(FlexConv, (12, 12), 13).freeze()
    x = image(12, 12)
    before = module(x)
    set_mask(module, (0.0, 0.0), (0.1, 0.5))
    assert module.cropped() == (3, 13)
    changed = module(x)
    assert distance(changed, before) > 1e-3
    deployed = module.at_resolution(24)(x)
    assert distance(deployed, changed) > 1e-3
    assert distance(module.train()(x), deployed) < 1e-12


def test_copies_after_training_on_every_path():
    for backend in BACKENDS[FlexConv]:
        module, x = build(FlexConv, (9, 9), 9, backend=backend), image(9, 9)
        module(x).sum().backward()
        assert torch.equal(copy.deepcopy(module)(x), module(x))


@pytest.mark.parametrize("name", ["flexconv", "flexconv_dw"])
@pytest.mark.parametrize("backend", ["direct", "fft", "tiles"])
def test_export_meta_and_autocast_on_every_path(name, backend):
    if name == "flexconv_dw" and backend == "tiles":
        pytest.skip("the depthwise layer has no tiles")
    options = {"sigma": 0.3, "backend": backend, "kernel_size": 13, "hidden": 8}
    module, x = methods.get(name).build(8, (12, 10), **options).eval(), image(12, 10, 8, dtype=torch.float32)
    with torch.no_grad():
        module.mask.sigma.copy_(torch.tensor([0.2, 0.3]))
    module.eval()  # the crop is read here, not while tracing
    program = torch.export.export(module, (x,))
    assert distance(program.module()(x), module(x)) < 1e-5
    with torch.device("meta"):
        assert methods.get(name).build(8, (12, 10), **options)(torch.empty(2, 8, 12, 10)).shape == x.shape
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = module(x)
    assert y.dtype == torch.bfloat16 and distance(y, module(x)) < 0.02


def test_penalty_is_off_by_default_and_reaches_the_filters():
    assert FlexConv(2, 16).penalty() == 0
    module = FlexConv(2, 16, antialias=0.1)
    module.penalty().backward()
    assert module.net.frequency.grad.abs().sum() > 0 and module.mask.sigma.grad is None
    module = FlexConv(2, 16, antialias=0.1, antialias_target="gabor+mask")
    module.penalty().backward()
    assert module.mask.sigma.grad.abs().sum() > 0
    assert distance(module.penalty(), 0.1 * alias_penalty(module.net, module.mask, 17, "gabor+mask")) < 1e-6


def test_flops_by_hand():
    features = 4 * 32 * 4 + 3 * 2 * 32 * 32  # a point: four rank-two filters, three 32 x 32 products
    module = FlexConv(4, 16, sigma=0.2)  # 17 points, cropped to 7 x 7: direct
    assert module.flops(16, 16) == (49 * (features + 2 * 33 * 16), 2 * 16 * 49 * 256)
    module = FlexConv(4, 16, sigma=0.2, backend="fft")  # 16 + 3 -> 20 x 20
    transform = round(2.5 * 400 * math.log2(20) + 5 * 11 * 20 * math.log2(20))
    kernel = 49 * features + 33 * transform + 4 * 220 * 33 * 16
    assert module.flops(16, 16) == (kernel, 8 * transform + 8 * 220 * 16)
    module = DepthwiseFlexConv(4, 16, sigma=0.2, backend="fft")
    kernel = 49 * (features + 2 * 33 * 4) + 4 * transform
    assert module.flops(16, 16) == (kernel, 8 * transform + 6 * 4 * 220 + 2 * 16 * 256)
    assert FlexConv(4, 16, 9, kernel_net="siren", crop=False).flops(3, 3).kernel == 81 * (4 * 32 + 2 * 32**2) + 2 * 33 * 16 * 25


@pytest.mark.parametrize("sigma", [(0.075, 0.075), (0.4, 0.2), (0.6, 0.6)])
@pytest.mark.parametrize("cls", [FlexConv, DepthwiseFlexConv])
def test_literal_form(cls, sigma):
    module, x = build(cls, (11, 14), 15, sigma=sigma), image(11, 14)
    assert distance(literal(module, x), module(x)) < 1e-5


def test_literal_form_by_transform():
    module, x = build(FlexConv, (11, 14), 55, sigma=(0.45, 0.6)), image(11, 14)
    assert min(module.cropped()) > 50
    assert distance(literal(module, x), module(x)) < 1e-5
