"""Spectral functions against oracles: sizes by search, transforms by DFT matrices, filters by direct sums."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from methods.contract import relative_error
from methods.parts import spectral
from tests.reference.conv import depthwise

IMAGES = [(4, 4), (5, 5), (4, 7), (7, 6), (1, 5), (6, 1), (2, 2)]


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def half_spectrum(*size, seed=0):
    return randn(2, *size[:-1], size[-1] // 2 + 1, seed=seed, dtype=torch.complex128)


def transform(x, size):
    """Return the half spectrum of x (..., H, W), zero-padded to `size`, by DFT matrices."""
    height, width = size
    rows = np.exp(-2j * np.pi * np.outer(np.arange(height), np.arange(x.shape[-2])) / height)
    columns = np.exp(-2j * np.pi * np.outer(np.arange(width // 2 + 1), np.arange(x.shape[-1])) / width)
    return rows @ x @ columns.T


def real_image(spectrum, size):
    """Return the real part of the full inverse sum, in which columns beyond W/2 mirror the stored ones."""
    height, width = size
    full = np.zeros((*spectrum.shape[:-1], width), dtype=complex)
    for v in range(width):
        for u in range(height):
            stored = v < spectrum.shape[-1]
            full[..., u, v] = spectrum[..., u, v] if stored else np.conj(spectrum[..., -u % height, width - v])
    rows = np.exp(2j * np.pi * np.outer(np.arange(height), np.arange(height)) / height)
    columns = np.exp(2j * np.pi * np.outer(np.arange(width), np.arange(width)) / width)
    return (rows @ full @ columns.T).real / (height * width)


@pytest.mark.parametrize(("resolution", "size"), [(7, (7, 7)), ((4, 5), (4, 5)), ([4, 5], (4, 5)), (torch.Size((3, 2)), (3, 2))])
def test_pair(resolution, size):
    assert spectral.pair(resolution) == size


def test_fast_size_is_the_next_even_product_of_small_primes():
    good = [2**a * 3**b * 5**c * 7**d for a in range(1, 12) for b in range(7) for c in range(5) for d in range(4)]
    for n in range(1, 700):
        assert spectral.fast_size(n) == min(size for size in good if size >= n), n


def test_linear_size():
    assert spectral.linear_size((14, 14), (3, 3)) == (16, 16)
    assert spectral.linear_size((224, 32), (31, 1)) == (240, 32)  # 224 + 15 = 239, 32 + 0
    assert spectral.linear_size((7, 7), (13, 13)) == (14, 14)


@pytest.mark.parametrize("size", IMAGES)
def test_hermitian_part_gives_the_same_real_image(size):
    spectrum = half_spectrum(*size)
    symmetric = spectral.hermitian(spectrum, size[1])
    image = torch.from_numpy(real_image(spectrum.numpy(), size))
    assert relative_error(spectral.irfft2(symmetric, size), image) < 1e-12
    assert relative_error(torch.view_as_real(torch.fft.rfft2(image)), torch.view_as_real(symmetric)) < 1e-12
    again = spectral.hermitian(symmetric, size[1])
    assert relative_error(torch.view_as_real(again), torch.view_as_real(symmetric)) < 1e-15


@pytest.mark.parametrize("size", [(4, 4), (5, 5), (4, 7)])
def test_hermitian_changes_only_edge_columns_and_not_its_input(size):
    spectrum = half_spectrum(*size)
    before = spectrum.clone()
    symmetric = spectral.hermitian(spectrum, size[1])
    assert torch.equal(spectrum, before)
    own = [0, size[1] // 2] if size[1] % 2 == 0 else [0]
    others = [column for column in range(size[1] // 2 + 1) if column not in own]
    assert torch.equal(symmetric[..., others], spectrum[..., others])
    for column in own:
        values = symmetric[..., column]
        mirrored = torch.stack([values[..., -u % size[0]] for u in range(size[0])], -1).conj()
        assert torch.equal(values, mirrored)
        assert (values - spectrum[..., column]).abs().max() > 0.1


def test_gradcheck_of_hermitian():
    for size in ((4, 4), (3, 5)):
        assert torch.autograd.gradcheck(lambda s, w=size[1]: spectral.hermitian(s, w), half_spectrum(*size).requires_grad_())


@pytest.mark.parametrize(("image", "size"), [*((s, None) for s in IMAGES), ((4, 5), (8, 6)), ((5, 4), (7, 9)), ((3, 3), (6, 7))])
def test_rfft2_and_its_gradient(image, size):
    x = randn(2, *image).requires_grad_()
    expected = torch.from_numpy(transform(x.detach().numpy(), size or image))
    assert relative_error(torch.view_as_real(spectral.rfft2(x, size)), torch.view_as_real(expected)) < 1e-12
    assert torch.autograd.gradcheck(lambda x: spectral.rfft2(x, size), x)
    assert spectral.rfft2(x, size).requires_grad


@pytest.mark.parametrize("size", IMAGES)
def test_irfft2_and_its_gradient(size):
    spectrum = half_spectrum(*size).requires_grad_()
    expected = torch.from_numpy(real_image(spectral.hermitian(spectrum, size[1]).detach().numpy(), size))
    assert relative_error(spectral.irfft2(spectral.hermitian(spectrum, size[1]), size), expected) < 1e-12
    assert torch.autograd.gradcheck(lambda s: spectral.irfft2(spectral.hermitian(s, size[1]), size), spectrum)


@pytest.mark.parametrize("size", [(4, 4), (5, 5), (4, 7), (7, 6)])
def test_gradients_equal_those_of_torch(size):
    """Compare gradients of rfft2 -> product -> irfft2 for image and spectrum, which is Hermitian as `irfft2` requires."""
    x, weight = randn(1, *size).requires_grad_(), half_spectrum(*size, seed=1).requires_grad_()
    target = randn(2, *size, seed=2)

    def gradients(forward, inverse):
        y = inverse(forward(x) * spectral.hermitian(weight, size[1]), size)
        return torch.autograd.grad((y * target).sum(), (x, weight))

    ours = gradients(spectral.rfft2, spectral.irfft2)
    reference = gradients(torch.fft.rfft2, lambda spectrum, size: torch.fft.irfft2(spectrum, s=size))
    assert relative_error(ours[0], reference[0]) < 1e-12
    assert relative_error(torch.view_as_real(ours[1]), torch.view_as_real(reference[1])) < 1e-12


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (3, 5), (5, 1)])
@pytest.mark.parametrize("image", [(5, 5), (6, 4), (7, 8)])
def test_linear_filter_is_the_direct_sum(image, kernel):
    x, weight = randn(2, 3, *image), randn(3, *kernel, seed=1)
    size = spectral.linear_size(image, kernel)
    y = spectral.filter_depthwise(x, spectral.kernel_spectrum(weight, size), size)
    expected = torch.from_numpy(depthwise(x.numpy(), weight.numpy(), np.zeros(3)))
    assert relative_error(y, expected) < 1e-12
    assert y.is_contiguous()


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (3, 5)])
@pytest.mark.parametrize("image", [(5, 5), (6, 6), (7, 8)])
def test_circular_filter_is_the_wrapped_sum(image, kernel):
    x, weight = randn(2, 3, *image), randn(3, *kernel, seed=1)
    y = spectral.filter_depthwise(x, spectral.kernel_spectrum(weight, image))
    (kh, kw), expected = kernel, torch.zeros_like(x)
    for h in range(image[0]):
        for w in range(image[1]):
            for i in range(kh):
                for j in range(kw):
                    tap = x[:, :, (h + i - kh // 2) % image[0], (w + j - kw // 2) % image[1]]
                    expected[:, :, h, w] += weight[:, i, j] * tap
    assert relative_error(y, expected) < 1e-12


def test_gradcheck_of_the_filter():
    x, weight = randn(2, 2, 3, 4).requires_grad_(), randn(2, 3, 3, seed=1).requires_grad_()
    size = spectral.linear_size((3, 4), (3, 3))

    def filtered(x: Tensor, weight: Tensor) -> Tensor:
        return spectral.filter_depthwise(x, spectral.kernel_spectrum(weight, size), size)

    assert torch.autograd.gradcheck(filtered, (x, weight))


@pytest.mark.parametrize(
    ("kernel", "image", "cropped"),
    [
        ((3, 3), (8, 8), (3, 3)),
        ((17, 17), (8, 8), (15, 15)),
        ((9, 3), (4, 6), (7, 3)),
        ((5, 5), (1, 2), (1, 3)),
        ((15, 15), (8, 7), (15, 13)),
    ],
)
def test_crop_to_image_removes_only_taps_that_touch_zeros(kernel, image, cropped):
    x, weight = randn(1, 1, *image), randn(1, 1, *kernel, seed=1)
    cut = spectral.crop_to_image(weight, image)
    assert cut.shape == (1, 1, *cropped)

    def same(weight: Tensor) -> Tensor:
        return nn.functional.conv2d(x, weight, padding=(weight.shape[2] // 2, weight.shape[3] // 2))

    assert relative_error(same(cut), same(weight)) < 1e-12


@pytest.mark.parametrize("grad", ["none", "no_grad", "inference"])
def test_in_place_product_does_not_change_other_tensors(grad):
    x, weight = randn(1, 2, 4, 6), randn(2, 3, 3, seed=1)
    size = spectral.linear_size((4, 6), (3, 3))
    spectrum = spectral.kernel_spectrum(weight, size)
    copies = [tensor.clone() for tensor in (x, spectrum)]
    with {"none": torch.enable_grad, "no_grad": torch.no_grad, "inference": torch.inference_mode}[grad]():
        first = spectral.filter_depthwise(x, spectrum, size)
        second = spectral.filter_depthwise(x, spectrum, size)
    assert torch.equal(first, second)
    assert torch.equal(x, copies[0]) and torch.equal(spectrum, copies[1])


def test_product_is_not_in_place_if_a_gradient_needs_the_image():
    image, kernel = half_spectrum(4, 4), half_spectrum(4, 4, seed=1)
    before = image.clone()
    y = spectral.product(image, kernel.requires_grad_())
    assert torch.equal(image, before)
    y.abs().sum().backward()
    assert kernel.grad is not None


def test_product_is_in_place_without_gradients():
    image, kernel = half_spectrum(4, 4), half_spectrum(4, 4, seed=1)
    expected = image * kernel
    y = spectral.product(image, kernel)
    assert y.data_ptr() == image.data_ptr()
    assert torch.equal(y, expected)


class Recorder:
    """A forward pass that records its dtype and autocast state."""

    @spectral.full_precision
    def forward(self, x: Tensor, *more: Tensor) -> Tensor:
        self.recorded = x.dtype, torch.is_autocast_enabled("cpu"), len(more)
        return x * 2


@pytest.mark.parametrize(
    ("dtype", "autocast", "inside", "outside"),
    [
        (torch.float32, None, torch.float32, torch.float32),
        (torch.float64, None, torch.float64, torch.float64),
        (torch.bfloat16, None, torch.float32, torch.bfloat16),
        (torch.float16, None, torch.float32, torch.float16),
        (torch.float32, torch.bfloat16, torch.float32, torch.bfloat16),
        (torch.bfloat16, torch.bfloat16, torch.float32, torch.bfloat16),
        (torch.float32, torch.float16, torch.float32, torch.float16),
        (torch.float64, torch.bfloat16, torch.float64, torch.float64),  # as torch's convolutions
    ],
)
def test_full_precision(dtype, autocast, inside, outside):
    recorder, x = Recorder(), torch.ones(3, dtype=dtype)
    with torch.autocast("cpu", dtype=autocast or torch.bfloat16, enabled=autocast is not None):
        y = recorder.forward(x, x)
    assert recorder.recorded == (inside, False, 1)
    assert y.dtype == outside
    assert torch.equal(y.float(), torch.full((3,), 2.0))


def test_full_precision_on_the_meta_device():
    assert Recorder().forward(torch.empty(3, dtype=torch.bfloat16, device="meta")).dtype == torch.bfloat16


def test_float32_and_float64_are_unchanged():
    for dtype in (torch.float32, torch.float64):
        x, weight = randn(1, 2, 4, 6, dtype=dtype), randn(2, 3, 3, seed=1, dtype=dtype)
        size = spectral.linear_size((4, 6), (3, 3))
        assert spectral.filter_depthwise(x, spectral.kernel_spectrum(weight, size), size).dtype == dtype


def test_sizes_of_the_tables():
    """Maps of 7 and 14 pixels with kernels up to 13: the padded lengths of the cost model."""
    assert [spectral.fast_size(n) for n in (7, 11, 13, 20, 29, 71, 113, 131)] == [8, 12, 14, 20, 30, 72, 120, 140]
    assert math.prod(spectral.linear_size((14, 14), (13, 13))) == 400
