"""The adaptive Fourier neural operator against direct sums and the official operators."""

import pytest
import torch
import torch.nn.functional as F

from methods import Unsupported
from methods.afno import AFNO
from methods.contract import SIZES, relative_error
from methods.dynamic_filter import StarReLU
from methods.parts.spectral import hermitian, irfft2, rfft2
from tests.literal.afno import literal
from tests.reference import afno as oracle
from tests.reference.channels_last import errors, leaves, maps, state

OPTIONS = [{"blocks": 2}, {"blocks": 4, "sparsity": 0.0}, {"blocks": 1, "sparsity": 0.3}, {"blocks": 2, "fraction": 0.5}]


def build(size=(6, 7), channels=4, **options):
    torch.manual_seed(0)
    module = AFNO(channels, size, **options).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module


def image(size=(6, 7), channels=4, batch=2):
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_oracle_on_any_size(size, options):
    module, x = build(**options), image(size)
    weights = [p.detach().numpy() for p in (module.w1, module.b1, module.w2, module.b2)]
    columns = int((size[1] // 2 + 1) * module.fraction)
    reference = torch.from_numpy(oracle.afno(x.numpy(), *weights, module.sparsity, columns))
    assert relative_error(module(x), reference) < 1e-10
    assert relative_error(module(x) - x, reference - x) < 1e-10  # without the residual
    with torch.no_grad():
        assert relative_error(module(x), reference) < 1e-10


@pytest.mark.parametrize("options", [{"blocks": 1}, {"blocks": 2, "fraction": 0.7}], ids=str)
def test_gradcheck_of_every_parameter(options):
    module, x = build((3, 4), channels=2, **options), image((3, 4), channels=2, batch=1).requires_grad_()
    names, tensors = zip(*module.named_parameters())

    def forward(x, *values):
        return torch.func.functional_call(module, dict(zip(names, values)), (x,))

    assert torch.autograd.gradcheck(forward, (x, *tensors))


def test_dropped_columns_leave_the_input():
    """With one retained column, variation along a row passes unchanged."""
    module, x = build((6, 8), blocks=2, fraction=0.2), image((6, 8))
    added = module(x) - x
    assert relative_error(added, added.mean(3, keepdim=True).expand_as(added)) < 1e-12
    assert added.abs().max() > 0.1


def test_mixed_spectrum_is_made_hermitian():
    """The mixed spectrum is not Hermitian; the inverse transform on the CPU uses its Hermitian part."""
    module, x = build((6, 8), blocks=2), image((6, 8))
    mixed = module._mixed(rfft2(x), 48**0.5)
    assert relative_error(torch.view_as_real(hermitian(mixed, 8)), torch.view_as_real(mixed)) > 0.1
    assert relative_error(irfft2(hermitian(mixed, 8), (6, 8)), torch.fft.irfft2(mixed, s=(6, 8))) < 1e-12


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"blocks": 3}, "3 blocks do not divide 4"),
        ({"blocks": 0}, "0 blocks"),
        ({"blocks": 2, "fraction": 0.1}, "selects no column"),
        ({"blocks": 2, "fraction": 1.5}, "too many"),
    ],
)
def test_unsupported(options, reason):
    with pytest.raises(Unsupported, match=reason):
        AFNO(4, (6, 7), **options)


@pytest.mark.parametrize(("channels", "blocks"), [(64, 8), (64, 1), (16, 4)])
def test_parameter_counts(channels, blocks):
    """Two layers of complex C x C / blocks matrices and C biases, independent of the size of the map."""
    for size in (14, (20, 11)):
        assert sum(p.numel() for p in AFNO(channels, size, blocks=blocks).parameters()) == 4 * channels * (channels // blocks + 1)


def test_flops_by_hand():
    """C = 8, d = 4, 8 x 8: a transform is 1080, a spectrum has 40 points, of which fraction 0.5 retains 8 * 2."""
    assert AFNO(8, 8, blocks=2).flops(8, 8) == (0, 2 * 8 * 1080 + 2 * 8 * 8 * 4 * 40)
    assert AFNO(8, 8, blocks=2, fraction=0.5).flops(8, 8) == (0, 2 * 8 * 1080 + 2 * 8 * 8 * 4 * 16)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_literal_form(options):
    module, x = build(**options).float(), image().float()
    assert relative_error(literal(module, x), module(x)) < 1e-5


@pytest.mark.parametrize(
    ("name", "size", "fraction"),
    [
        ("afno2d_nvlabs_14x14", (14, 14), 1.0),
        ("afno2d_nvlabs_12x20", (12, 20), 1.0),
        ("afno2d_nvlabs_14x14_frac005", (14, 14), 0.5),  # published 0.05: int(0.05 * (14 * 14 // 2 + 1)) = 4 of 8 columns
    ],
)
def test_official_operator(vectors, name, size, fraction):
    data = vectors(f"dynamic_fft/{name}.npz")
    module = AFNO(16, 14, blocks=4, fraction=fraction)
    module.load_official(state(data))
    parameters = {key: (parameter, None) for key, parameter in module.named_parameters()}
    assert max(errors(module, parameters, data, "native", size).values()) < 1e-5


def test_published_fraction_counts_pixels(vectors):
    """At 14 x 14, our 0.05 retains no column; the published 0.05 retains half, and all from 0.09 on."""
    data = vectors("dynamic_fft/afno2d_nvlabs_14x14_frac005.npz")
    with pytest.raises(Unsupported, match="no column"):
        AFNO(16, 14, blocks=4, fraction=0.05)
    module = AFNO(16, 14, blocks=4)
    module.load_official(state(data))
    assert relative_error(module(maps(data["native.x"], (14, 14))), maps(data["native.y"], (14, 14))) > 1e-3


def test_official_mixer(vectors):
    """DFFormer's ablation: W_2 AFNO(StarReLU(W_1 x)) on twice the channels."""
    data = vectors("dynamic_fft/afno2d_dfformer_14x14.npz")
    p, module, act = leaves(data), AFNO(16, 14, blocks=4), StarReLU()
    module.load_official({name: p[name].detach() for name in ("w1", "b1", "w2", "b2")})
    act.load_state_dict({"scale": p["act1.scale"], "bias": p["act1.bias"]})

    def mixer(x):
        hidden = act(F.linear(x.permute(0, 2, 3, 1), p["pwconv1.weight"])).permute(0, 3, 1, 2)
        return F.linear(module(hidden).permute(0, 2, 3, 1), p["pwconv2.weight"]).permute(0, 3, 1, 2)

    parameters = {key: (p[key], None) for key in ("pwconv1.weight", "pwconv2.weight")}
    parameters |= {key: (parameter, None) for key, parameter in module.named_parameters()}
    parameters |= {f"act1.{key}": (parameter, None) for key, parameter in act.named_parameters()}
    assert max(errors(mixer, parameters, data, "native", (14, 14)).values()) < 1e-5


def test_official_names_are_checked():
    module = AFNO(16, 14, blocks=4)
    for wrong in ({}, {**module.state_dict(), "w3": torch.zeros(1)}):
        with pytest.raises(KeyError, match="w1 and w2"):
            module.load_official(wrong)
