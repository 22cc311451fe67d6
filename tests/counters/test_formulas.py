"""Formulas of single operations compared with closed forms, brute force and torch's counter."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.counters.flops import count
from bench.counters.formulas import Count, taps_inside
from methods.parts.cost import rfft2_flops


def empty(*shape, dtype=torch.float32, grad=False):
    return torch.empty(*shape, dtype=dtype, device="meta", requires_grad=grad)


def complex_map(*shape):
    return empty(*shape, dtype=torch.complex64)


# --- convolutions and matrix products ---

CONVOLUTIONS = {
    "dense": {"padding": 3},
    "depthwise": {"padding": 3, "groups": 8},
    "grouped": {"groups": 4},
    "dilated": {"padding": 6, "dilation": 2, "groups": 8},
    "strided": {"padding": 3, "stride": 2},
    "same": {"padding": "same", "dilation": 3},
}


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolution_forward_and_backward(options):
    x, conv = empty(2, 8, 20, 17, grad=True), nn.Conv2d(8, 16, 7, device="meta", **options)
    y = conv(x)
    forward = 2 * y.numel() * conv.weight[0].numel()
    assert count(lambda: conv(x)).linear == forward
    assert count(lambda: conv(x)).elementwise == y.numel()  # the bias
    assert count(lambda: y.sum().backward()).linear == 2 * forward
    without_input_gradient = conv(x.detach())
    assert count(lambda: without_input_gradient.sum().backward()).linear == forward


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolution_agrees_with_torchs_counter_forward(options):
    from torch.utils.flop_counter import FlopCounterMode

    x, conv = empty(2, 8, 20, 17), nn.Conv2d(8, 16, 7, device="meta", **options)
    with FlopCounterMode(display=False) as theirs:
        conv(x)
    assert count(lambda: conv(x)).linear == theirs.get_total_flops()


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"), [(3, 1, 1, 1), (7, 1, 9, 3), (5, 2, 2, 1), (31, 1, 15, 1), (4, 3, 5, 2)]
)
def test_taps_inside_by_convolving_ones(kernel, stride, padding, dilation, transposed):
    """A convolution of ones with ones counts the taps inside the map."""
    x, weight = torch.ones(1, 1, 11, 14), torch.ones(1, 1, kernel, kernel)
    convolve = F.conv_transpose2d if transposed else F.conv2d
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    if transposed and stride * 10 + dilation * (kernel - 1) + 1 <= 2 * padding:
        pytest.skip("no output")
    expected = convolve(x, weight, **options).sum().item()
    counted = count(lambda: convolve(x, weight, **options))
    assert counted.inside == 2 * expected
    assert counted.inside <= counted.linear
    assert counted.effective == counted.inside


def test_taps_inside_in_closed_form():
    for size, kernel in [(56, 31), (28, 31), (14, 27), (7, 13)]:
        half = kernel // 2
        expected = sum(max(0, size - abs(offset)) for offset in range(-half, half + 1))
        assert taps_inside(size, size, kernel, padding=half) == expected


def test_matrix_products():
    a, b, batch = empty(5, 7), empty(7, 3), empty(4, 5, 7)
    assert count(lambda: a @ b) == Count(linear=210, inside=210, macs=105)
    assert count(lambda: batch @ empty(4, 7, 3)).linear == 4 * 210
    assert count(lambda: torch.addmm(empty(3), a, b)) == Count(linear=210, inside=210, macs=105, elementwise=15)
    assert count(lambda: torch.einsum("bik,kj->bij", batch, b)).linear == 4 * 210
    assert count(lambda: a @ empty(7)).linear == 70


def test_complex_matrix_product():
    product = count(lambda: torch.bmm(complex_map(4, 5, 7), complex_map(4, 7, 3)))
    assert product == Count(linear=8 * 420, inside=8 * 420, macs=420)


@pytest.mark.parametrize("fused", [False, True])
def test_attention_agrees_with_torchs_counter(fused):
    from torch.utils.flop_counter import FlopCounterMode

    device = "cpu" if fused else "meta"  # on the meta device torch uses the composite form
    q, k, v = (torch.zeros(2, 4, n, d, device=device, requires_grad=True) for n, d in [(9, 8), (12, 8), (12, 8)])
    with FlopCounterMode(display=False) as theirs:
        F.scaled_dot_product_attention(q, k, v).sum().backward()
    ours = count(lambda: F.scaled_dot_product_attention(q, k, v).sum().backward())
    counted = theirs.get_total_flops()
    if not counted:
        pytest.skip("this version of torch counts the fused attention of a CPU as nothing")
    assert ours.linear == counted
    assert ours.sfu == (2 if fused else 1) * 2 * 4 * 9 * 12  # the fused backward recomputes the exponentials


# --- transforms and products ---


@pytest.mark.parametrize("size", [(8, 8), (9, 14), (7, 5), (56, 56)])
def test_two_dimensional_transforms(size):
    x = empty(2, 3, *size)
    one, full = rfft2_flops(*size), round(5 * math.prod(size) * sum(math.log2(n) for n in size))
    assert count(lambda: torch.fft.rfft2(x)) == Count(fft=6 * one)
    assert count(lambda: torch.fft.irfft2(torch.fft.rfft2(x), s=size)) == Count(fft=12 * one)
    assert count(lambda: torch.fft.ifft2(torch.fft.fft2(complex_map(2, 3, *size)))) == Count(fft=12 * full)


def test_transforms_of_one_and_three_axes():
    assert count(lambda: torch.fft.rfft(empty(6, 16))) == Count(fft=6 * round(2.5 * 16 * 4))
    assert count(lambda: torch.fft.fft(complex_map(16, 6), dim=0)) == Count(fft=6 * 5 * 16 * 4)
    volume = 2.5 * 4 * 8 * 16 * 4 + 5 * (4 * 8 * 9) * (2 + 3)
    assert count(lambda: torch.fft.rfftn(empty(3, 4, 8, 16), dim=(1, 2, 3))) == Count(fft=3 * round(volume))
    assert count(lambda: torch.fft.irfftn(complex_map(3, 4, 8, 9), dim=(1, 2, 3))) == Count(fft=3 * round(volume))


def test_filter_chain():
    x, spectrum = empty(2, 8, 14, 14), complex_map(8, 14, 8)
    chain = count(lambda: torch.fft.irfft2(torch.fft.rfft2(x) * spectrum, s=(14, 14)))
    assert chain == Count(fft=2 * 16 * rfft2_flops(14, 14), product=6 * 16 * 14 * 8)
    assert chain.flops == chain.structural == chain.fft + chain.product


def test_complex_arithmetic():
    z, x = complex_map(10), empty(10)
    assert count(lambda: z * z.conj()) == Count(product=60)
    assert count(lambda: z * x) == Count(product=20)
    assert count(lambda: z * 2.0) == count(lambda: z / 2) == count(lambda: z + z) == Count(elementwise=20)
    assert count(lambda: z * 1j) == Count(elementwise=60)
    assert count(z.abs) == Count(elementwise=30, sfu=10)
    assert count(z.sum) == Count(elementwise=20)


# --- the rest ---


def test_elementwise_and_transcendental():
    x = empty(2, 5)
    assert count(lambda: x * x + 1) == Count(elementwise=20)
    assert count(lambda: x.add_(1).relu_()) == Count(elementwise=20)
    assert count(lambda: x.sin() + empty(3, 2, 5)) == Count(elementwise=30, sfu=10)
    assert count(lambda: x**2) == count(lambda: x.sum(1)) == Count(elementwise=10)
    assert count(lambda: x**0.3) == Count(sfu=10)
    assert count(lambda: (x > 0, x.t(), x.clone(), x.double(), torch.zeros_like(x), F.pad(x, (1, 1)), x.argmax())) == Count()


ORDINARY = {
    "softmax": lambda x: F.softmax(x, 1) + F.log_softmax(x, 1),
    "activations": lambda x: F.gelu(F.silu(F.mish(F.elu(F.softplus(F.hardswish(F.leaky_relu(x).tanh().sigmoid())))))),
    "gated": lambda x: F.glu(x, 1),
    "layer_norm": lambda x: F.layer_norm(x, x.shape[1:]),
    "group_norm": lambda x: F.group_norm(x, 4),
    "batch_norm": lambda x: F.batch_norm(x, empty(8), empty(8), training=True),
    "frozen_batch_norm": lambda x: F.batch_norm(x, empty(8), empty(8)),
    "max_pool": lambda x: F.max_pool2d(x, 3, padding=1),
    "avg_pool": lambda x: F.avg_pool2d(x, (3, 2)),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, 3) * F.adaptive_avg_pool2d(x, 1) * F.adaptive_max_pool2d(x, 3),
    "bilinear": lambda x: F.interpolate(x, (9, 30), mode="bilinear", align_corners=False),
    "bicubic": lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"),
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "grid_sample": lambda x: F.grid_sample(x, empty(2, 5, 5, 2, grad=True), align_corners=False),
    "unfold": lambda x: F.fold(F.unfold(x, 3, padding=1), (12, 12), 3, padding=1),
    "shifts": lambda x: torch.cat([x.roll(1, -1), x.flip(-1), F.pad(x, (1, 1, 2, 2), mode="reflect")[..., 2:-2, 2:]], 1)[
        ..., [0, 2, 2]
    ],
    "shuffle": lambda x: F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2),
    "statistics": lambda x: x.var() + x.std(1).mean() + x.amax() + x.norm() + x.logsumexp(1).sum() + x.cumsum(1).mean(),
    "selection": lambda x: torch.where(x > 0, x, 0.1 * x).clamp(-1, 1).maximum(x.masked_fill(x > 2, 0.0)),
    "dropout": lambda x: F.dropout(x, 0.5),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "einsum": lambda x: torch.einsum("bchw,bdhw->bcd", x, x),
    "linear": lambda x: F.linear(x, empty(5, 12, grad=True), empty(5, grad=True)),
    "transposed": lambda x: F.conv_transpose2d(x, empty(8, 4, 3, 3, grad=True), stride=2),
    "complex": lambda x: torch.fft.fft2(x).abs() + torch.polar(x, x).angle().exp(),
    "scatter": lambda x: torch.zeros_like(x).index_add(1, torch.zeros(8, dtype=torch.long, device="meta"), x),
}


@pytest.mark.parametrize("form", ORDINARY.values(), ids=ORDINARY)
@pytest.mark.parametrize("train", [False, True], ids=["inference", "training"])
def test_common_operations_have_formulas(form, train):
    """The counts are the same in inference mode, where composite operations are dispatched whole."""
    x = empty(2, 8, 12, 12, grad=train)
    if train:
        assert count(lambda: form(x).sum().backward()) != Count()
        return
    with torch.no_grad():
        expected = count(lambda: form(x))
    with torch.inference_mode():
        assert count(lambda: form(x)) == expected


def test_fused_and_decomposed_rms_norm():
    x = empty(2, 8, 12, grad=True)
    parts = count(lambda: F.rms_norm(x, (12,)).sum().backward())
    with torch.inference_mode():
        fused = count(lambda: F.rms_norm(x, (12,)))
    assert 3 * x.numel() <= fused.elementwise < parts.elementwise
