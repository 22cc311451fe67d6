"""FlexConv, dense and depthwise, against point-by-point sums, with all backends."""

import copy
import math

import numpy as np
import pytest
import torch

import methods
from bench.counters.flops import count_cached
from methods import Unsupported
from methods.contract import relative_error
from methods.flexconv import DepthwiseFlexConv, FlexConv
from methods.parts.antialias import PenaltyForm, alias_penalty
from methods.parts.continuous import resolve_horizon
from tests.literal.flexconv import literal
from tests.reference import flexconv as oracle

BACKENDS = {FlexConv: ("direct", "fft", "tiles", "auto"), DepthwiseFlexConv: ("direct", "fft", "auto")}
SMALL = {"hidden": 5, "layers": 2}
LOW_OMEGA = {FlexConv: {}, DepthwiseFlexConv: {"omega": 1.5}}
# (rows, columns, horizon, mean, sigma): crops of 1 x 1 unless limited, anisotropic, off centre, whole, larger than the map
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
    """Return the outputs in training, in inference and frozen, twice."""
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
            assert relative_error(output, y) < 1e-10


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
        assert relative_error(output, y) < 1e-10


def test_oracle_with_sine_networks():
    x = image(5, 6)
    for kind in ("siren", "nsiren"):
        module = build(FlexConv, (5, 6), 7, kernel_net=kind, layers=3, omega=4.0)
        y = expected(module, x, lambda p, position, kind=kind: oracle.siren_features(p, position, 4.0, kind == "siren"))
        assert relative_error(module(x), torch.from_numpy(y)) < 1e-10


def test_paths_agree_on_an_anisotropic_kernel():
    x = image(40, 31, batch=1)
    outputs = []
    for backend in BACKENDS[FlexConv]:
        module = build(FlexConv, (40, 31), 33, (0.1, -0.05), (0.3, 0.15), backend=backend)
        assert module.cropped() == (23, 11)
        outputs += all_modes(module, x)
    assert all(relative_error(output, outputs[0]) < 1e-12 for output in outputs)


def check_gradients(module):
    """Check gradients of all weights by central differences. Biases are non-zero to avoid the kinks of ReLUs on the grid."""
    names = [name for name, _ in module.named_parameters()]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.rand_like(parameter))

    def call(x, *values):
        return torch.func.functional_call(module, dict(zip(names, values)), (x,))

    assert torch.autograd.gradcheck(call, (image(5, 6, 2, 1).requires_grad_(), *module.parameters()))


@pytest.mark.parametrize("kernel_net", ["magnet", "siren", "mlp"])
@pytest.mark.parametrize("backend", ["direct", "tiles"])
def test_gradients(backend, kernel_net):
    module = build(
        FlexConv, (5, 6), 7, (0.1, -0.2), (0.3, 0.2), 2, backend=backend, kernel_net=kernel_net, hidden=3, out_channels=3
    )
    check_gradients(module)


@pytest.mark.parametrize("backend", BACKENDS[DepthwiseFlexConv])
def test_gradients_of_the_depthwise_layer(backend):
    module = build(DepthwiseFlexConv, (5, 6), 7, sigma=(0.3, 0.2), channels=2, backend=backend, hidden=3, learn_mean=True)
    check_gradients(module)


# --- size, counts, cost ---


def test_horizon():
    assert [resolve_horizon(None, size) for size in (1, 7, 32, (9, 12), (15, 4))] == [3, 7, 33, 13, 15]
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


def test_the_kernel_grows_from_its_smallest_size():
    module = FlexConv(4, 7, hidden=4)  # 1 x 1 by the published rule
    assert FlexConv(4, 7, min_half_width=0).cropped() == (1, 1) and module.cropped() == (3, 3)
    optimiser = torch.optim.Adam(module.mask.parameters(), lr=0.05)
    for _ in range(20):
        optimiser.zero_grad()
        (-module(torch.ones(1, 4, 7, 7)).abs().sum()).backward()
        optimiser.step()
    assert module.cropped() == (7, 7)


def test_kernel_at_double_resolution_has_the_same_values_at_common_points():
    module = FlexConv(3, 16, sigma=0.6).double()
    coarse = module.kernel()
    fine = module.at_resolution(32).kernel()
    assert module.cropped() == (33, 33)
    assert relative_error(4 * fine[..., ::2, ::2], coarse) < 1e-12
    assert relative_error(module.at_resolution(16).kernel(), coarse) == 0


def test_frozen_follows_mask_and_resolution():
    module = build(FlexConv, (12, 12), 13).freeze()
    x = image(12, 12)
    before = module(x)
    set_mask(module, (0.0, 0.0), (0.1, 0.5))
    assert module.cropped() == (3, 13)
    changed = module(x)
    assert relative_error(changed, before) > 1e-3
    deployed = module.at_resolution(24)(x)
    assert relative_error(deployed, changed) > 1e-3
    assert relative_error(module.train()(x), deployed) < 1e-12


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
    module.eval()  # updates the crop, which tracing does not
    program = torch.export.export(module, (x,))
    assert relative_error(program.module()(x), module(x)) < 1e-5
    with torch.device("meta"):
        assert methods.get(name).build(8, (12, 10), **options)(torch.empty(2, 8, 12, 10)).shape == x.shape
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = module(x)
    assert y.dtype == torch.bfloat16 and relative_error(y, module(x)) < 0.02


def test_penalty_is_off_by_default_and_has_gradients_for_the_filters():
    assert FlexConv(2, 16).penalty() == 0
    module = FlexConv(2, 16, antialias=0.1)
    module.penalty().backward()
    assert module.net.frequency.grad.abs().sum() > 0 and module.mask.sigma.grad is None
    module = FlexConv(2, 16, antialias=0.1, antialias_target="gabor+mask")
    module.penalty().backward()
    assert module.mask.sigma.grad.abs().sum() > 0
    assert relative_error(module.penalty(), 0.1 * alias_penalty(module.net, module.mask, 17, PenaltyForm("gabor+mask"))) < 1e-6


def test_flops_by_hand():
    features = 4 * 32 * 4 + 3 * 2 * 32 * 32  # per point: four rank-two filters, three 32 x 32 products
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


@pytest.mark.parametrize("backend", ["direct", "fft", "auto"])
@pytest.mark.parametrize("name", ["flexconv", "flexconv_dw"])
def test_flops_are_those_of_the_operators_that_run(name, backend):
    for size, sigma, kernel_net in (((60, 44), 0.4, "magnet"), ((20, 9), 0.6, "siren"), ((9, 9), 0.075, "gabor")):
        with torch.device("meta"):
            module = methods.get(name).build(8, size, sigma=sigma, kernel_net=kernel_net, backend=backend).freeze()
            x = torch.empty(1, 8, *size)
        with torch.no_grad():
            kernel, first = count_cached(module, lambda module=module, x=x: module(x))
        assert module.flops(*size) == (kernel.structural, first.structural - kernel.structural)


@pytest.mark.parametrize("sigma", [(0.075, 0.075), (0.4, 0.2), (0.6, 0.6)])
@pytest.mark.parametrize("cls", [FlexConv, DepthwiseFlexConv])
def test_literal_form(cls, sigma):
    module, x = build(cls, (11, 14), 15, sigma=sigma), image(11, 14)
    assert relative_error(literal(module, x), module(x)) < 1e-5


def test_literal_form_by_transform():
    module, x = build(FlexConv, (11, 14), 55, sigma=(0.45, 0.6)), image(11, 14)
    assert min(module.cropped()) > 50
    assert relative_error(literal(module, x), module(x)) < 1e-5
