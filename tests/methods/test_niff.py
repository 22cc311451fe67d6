"""NIFF against its equations and documented properties; the official vectors are in test_niff_official.py."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

import methods
from methods.contract import relative_error
from methods.niff import Niff
from methods.parts.cost import bins
from methods.registry import Unsupported
from tests.literal.niff import literal
from tests.reference import niff as oracle

NAMES = ("niff", "niff_big", "niff_split", "niff_full")
BIG = (16, 128, 32)
MODES = {"depthwise": 3, "split": 2, "full": 2}  # mode -> output channels of the tests, from 3 inputs


def seeded(*args, **options) -> Niff:
    torch.manual_seed(0)
    return Niff(*args, **options)


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def layers(mlp) -> oracle.Layers:
    return [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in (*mlp.layers, mlp.last)]


def expected(module: Niff, x: torch.Tensor) -> torch.Tensor:
    size = tuple(x.shape[-2:])
    built = module.resolution if module.coords == "normalized" else None
    h = oracle.impulse_response(oracle.spectrum(layers(module.real), layers(module.imag), size, built))
    if module.mode == "full":
        return torch.from_numpy(oracle.full(x.numpy(), h, module.boundary))
    if module.mode == "split":
        return torch.from_numpy(oracle.split(x.numpy(), h, module.boundary, module.mix.weight[:, :, 0, 0].detach().numpy()))
    return torch.from_numpy(oracle.depthwise(x.numpy(), h, module.boundary))


@pytest.mark.parametrize("size", [(6, 6), (5, 5), (4, 7), (7, 2), (1, 3)], ids=str)
@pytest.mark.parametrize("coords", ["index", "normalized"])
@pytest.mark.parametrize("boundary", ["circular", "zero"])
@pytest.mark.parametrize("mode", MODES)
def test_equations(mode, boundary, coords, size):
    module = seeded(3, (6, 5), mode=mode, boundary=boundary, coords=coords, out_channels=MODES[mode]).double()
    x = noise(2, 3, *size)
    assert relative_error(module(x), expected(module, x)) < 1e-10
    assert relative_error(module.freeze()(x), expected(module, x)) < 1e-10


@pytest.mark.parametrize("hidden", [(5,), BIG], ids=str)
def test_equations_hold_for_any_hidden_layers(hidden):
    module, x = seeded(3, 5, hidden=hidden).double(), noise(1, 3, 5, 4)
    assert relative_error(module(x), expected(module, x)) < 1e-10


@pytest.mark.parametrize("boundary", ["circular", "zero"])
@pytest.mark.parametrize("mode", MODES)
def test_gradients(mode, boundary):
    module = seeded(2, (4, 3), hidden=(3, 2), mode=mode, boundary=boundary).double()
    names, values = zip(*module.named_parameters())

    def run(x, *parameters):
        return functional_call(module, dict(zip(names, parameters)), (x,))

    assert torch.autograd.gradcheck(run, (noise(2, 2, 4, 3).requires_grad_(), *values))


@pytest.mark.parametrize("channels", [6, 16, 96])
def test_parameters_are_counted_as_published(channels):
    pairs = channels * channels
    published = {
        "niff": 120 + 10 * channels,
        "niff_big": 12704 + 66 * channels,
        "niff_split": 120 + 10 * channels + pairs,
        "niff_full": 48 + 18 * pairs,
    }
    for name, count in published.items():
        module = methods.get(name).build(channels, 8)
        assert sum(p.numel() for p in module.parameters()) == count, name
        assert module.state_dict().keys() == dict(module.named_parameters()).keys()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(7, 7), (6, 10), (9, 4)], ids=str)
def test_published_form_is_equal(name, size):
    torch.manual_seed(0)
    module, x = methods.get(name).build(5, size), noise(2, 5, *size, dtype=torch.float32)
    assert relative_error(literal(module, x), module(x)) < 1e-5


def test_published_form_rejects_our_options():
    with pytest.raises(ValueError, match="circular"):
        literal(Niff(3, 6, boundary="zero"), noise(1, 3, 6, 6))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("hidden", [(8, 4), BIG], ids=str)
def test_spectra_are_exactly_hermitian(hidden, dtype):
    """CPU and GPU agree only if K(-f) = conj K(f) in the two columns that contain both."""
    module = seeded(1, 8, hidden=hidden).to(dtype)
    for size in [(1, 5), (1, 9), (2, 8), (2, 12), (3, 3), (9, 9), (14, 14), (7, 16), (28, 28)]:
        spectrum = module.spectrum(size)
        for column in {0, size[1] // 2 if size[1] % 2 == 0 else 0}:
            edge = spectrum[..., column]
            assert torch.equal(edge.flip(-1).roll(1, -1).conj().resolve_conj(), edge), (size, column)


@pytest.mark.parametrize("hidden", [(8, 4), (8,), (5, 2)], ids=str)
def test_kernels_span_at_most_two_h_plus_one_dimensions(hidden):
    kernels = seeded(64, 12, hidden=hidden).double().kernel().detach().flatten(1)
    assert torch.linalg.matrix_rank(kernels, rtol=1e-10) == 2 * hidden[-1] + 1


@pytest.mark.parametrize("boundary", ["circular", "zero"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(6, 6), (5, 8)], ids=str)
def test_kernel_is_the_impulse_response(size, mode, boundary):
    module = seeded(3, size, mode=mode, boundary=boundary).double()
    x = torch.zeros(3, 3, *size, dtype=torch.float64)  # image i: an impulse in channel i, at the centre
    x[range(3), range(3), size[0] // 2, size[1] // 2] = 1
    response = module._filter(x)
    if mode == "full":
        assert relative_error(response.transpose(0, 1), module.kernel()) < 1e-12
    else:
        assert relative_error(response[range(3), range(3)], module.kernel()) < 1e-12


def test_only_the_circular_boundary_wraps_around():
    """For an impulse in the first column, circular adds the left half of the filter at the other end."""
    x = torch.zeros(1, 2, 8, 8, dtype=torch.float64)
    x[..., 4, 0] = 1
    around = seeded(2, 8).double()
    cut = seeded(2, 8, boundary="zero").double()
    assert relative_error(cut(x)[0, ..., :4], around.kernel()[..., 4:]) < 1e-12
    assert cut(x)[..., 4:].abs().max() < 1e-12
    assert relative_error(around(x)[0, ..., 4:], around.kernel()[..., :4]) < 1e-12


def test_coordinates_at_another_size():
    def low(module: Niff, size: int, step: int) -> torch.Tensor:
        """Return the spectrum at frequencies 0, step, 2 step, 3 step of both axes, as real numbers."""
        return torch.view_as_real(module.spectrum((size, size))[:, : 4 * step : step, : 4 * step : step])

    index, normalized = seeded(4, 8).double(), seeded(4, 8, coords="normalized").double()
    assert torch.equal(low(normalized, 8, 1), low(index, 8, 1))
    assert relative_error(low(index, 16, 1), low(index, 8, 1)) < 1e-12  # the same cycles per map
    assert relative_error(low(normalized, 16, 2), low(index, 8, 1)) < 1e-12  # the same cycles per pixel


def test_frozen_module_follows_the_map_size_and_copies():
    module = seeded(3, 8, mode="split").freeze()
    for size in [(8, 8), (6, 9), (8, 8)]:
        x = noise(2, 3, *size, dtype=torch.float32)
        fresh = seeded(3, 8, mode="split")
        assert relative_error(copy.deepcopy(module)(x), fresh(x)) < 1e-6
        assert relative_error(module(x), fresh(x)) < 1e-6


def test_trains_after_a_first_call_in_inference_mode():
    module, x = seeded(3, 6), noise(1, 3, 6, 6, dtype=torch.float32)
    with torch.inference_mode():
        module(x)
    module(x).sum().backward()
    assert module.real.last.weight.grad.any()


def test_split_mixes_in_half_precision_under_autocast():
    module, x = seeded(3, 6, mode="split"), noise(1, 3, 6, 6, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = module(x)
    assert y.dtype == torch.bfloat16
    assert relative_error(y, module(x)) < 0.02


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "dense"},
        {"boundary": "reflect"},
        {"coords": "polar"},
        {"hidden": ()},
        {"hidden": (8,), "init": "broad"},
        {"hidden": (2, 4), "init": "broad"},
        {"init": "wide"},
        {"hidden": (4, 0)},
        {"out_channels": 5},
    ],
    ids=str,
)
def test_unsupported_options(options):
    with pytest.raises(Unsupported):
        Niff(3, 6, **options)


def test_official_weights_of_another_module_are_rejected():
    module = Niff(3, 6)
    state = {name: module.get_parameter(ours).detach() for name, ours in module._official_names().items()}
    with pytest.raises(KeyError, match="layer_mpl3"):
        module.load_official({name: value for name, value in state.items() if name != "mlp_real.layer_mpl3.bias"})
    with pytest.raises(KeyError, match="extra"):
        module.load_official({**state, "extra": state["mlp_real.layer_mpl3.bias"]})
    with pytest.raises(ValueError, match="shape"):
        Niff(4, 6).load_official(state)


def test_flops_by_hand():
    # 4 x 4 map: 12 points; a transform costs 2.5 * 16 * 2 + 5 * 3 * 4 * 2 = 200. Hidden weights 2*8 + 8*4 = 48, at f and -f,
    # last weights 4 * 3 = 12, two MLPs
    mlp = 2 * 12 * (2 * 2 * 48 + 2 * 12)
    assert Niff(3, 4).flops(4, 4) == (mlp, 6 * 200 + 6 * 3 * 12)
    assert Niff(3, 4, mode="split", out_channels=2).flops(4, 4) == (mlp, 6 * 200 + 6 * 3 * 12 + 2 * 3 * 2 * 16)
    # hidden weights 2 * 8, last weights 8 * 6; complex multiply-adds cost 8
    dense = Niff(3, 4, hidden=(8,), mode="full", out_channels=2)
    assert dense.flops(4, 4) == (2 * 12 * (2 * 2 * 16 + 2 * 48), 5 * 200 + 8 * 6 * 12)
    # zero boundary: 5 x 5 taps, transforms of 6 x 6: 2.5 * 36 * log2 6 + 5 * 4 * 6 * log2 6 = 542.84, 24 points
    assert Niff(3, 4, boundary="zero").flops(4, 4) == (mlp + 3 * (200 + 543), 6 * 543 + 6 * 3 * 24)


@pytest.mark.parametrize("name", NAMES)
def test_flops_agree_with_the_counter_of_torch(name):
    """The counter includes convolutions and matrix products, no transforms, and counts a complex multiply-add as a real one."""
    module, x = methods.get(name).build(4, (6, 5)), noise(1, 4, 6, 5, dtype=torch.float32)
    products = {"niff_split": 2 * 4 * 4 * 6 * 5, "niff_full": 2 * 4 * 4 * bins(6, 5)}
    with FlopCounterMode(display=False) as counter:
        module(x)
    assert counter.get_total_flops() == module.flops(6, 5).kernel + products.get(name, 0)


@pytest.mark.parametrize("hidden", [(8, 4), BIG], ids=str)
def test_broad_kernels_have_weight_far_from_the_centre(hidden):
    """Compare the sum of a kernel over offsets of 5 pixels and more, relative to its norm."""
    offset = (torch.arange(16) - 8).abs()
    distant = torch.maximum(offset[:, None], offset) >= 5

    def summed(init):
        kernels = seeded(64, 16, hidden=hidden, init=init).kernel().detach()
        return (kernels[:, distant].sum(1).abs() / kernels.flatten(1).norm(dim=1)).mean()

    assert summed("broad") > 1 > 0.2 > summed("default")


def test_broad_initialisation_changes_no_shape_and_only_the_real_part():
    plain, broad = seeded(4, 8), seeded(4, 8, init="broad")
    assert {n: p.shape for n, p in plain.named_parameters()} == {n: p.shape for n, p in broad.named_parameters()}
    changed = {n for n, p in broad.named_parameters() if not torch.equal(p, dict(plain.named_parameters())[n])}
    assert changed == {f"real.layers.{layer}.{kind}" for layer in (0, 1) for kind in ("weight", "bias")}


def test_a_bump_is_highest_at_frequency_zero():
    mlp = seeded(1, 16, init="broad").real
    frequencies = torch.arange(0.0, 8.0)
    points = torch.stack((frequencies, torch.zeros(8)))
    hidden = torch.nn.functional.silu(mlp.layers[1](torch.nn.functional.silu(mlp.layers[0](points.T))))  # (8, 4 bumps)
    assert (hidden.diff(dim=0)[:2] < 0).all()
    half = [int((hidden[:, hat] > hidden[0, hat] / 2).sum()) for hat in range(4)]
    assert half == sorted(half) and half[0] <= 1 and half[-1] >= 4


def test_one_number_is_one_layer():
    niff = methods.get("niff")
    one, other = (niff.build(4, 8, hidden=hidden) for hidden in (16, (16,)))
    assert [p.shape for p in one.parameters()] == [p.shape for p in other.parameters()]
    with pytest.raises(Unsupported, match="at least one unit"):
        niff.build(4, 8, hidden=0)
