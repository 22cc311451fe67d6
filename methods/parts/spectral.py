"""Transforms, FFT sizes, products and symmetry of half spectra, for all Fourier methods.

`rfft2` is not scaled, `irfft2` divides by the number of pixels (torch norm "backward"). A spectrum has shape (..., H, W//2+1).
B batch, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Size = tuple[int, int]


def pair(resolution: int | Sequence[int]) -> Size:
    """Return (H, W) of an int or a sequence of two."""
    if isinstance(resolution, int):
        return resolution, resolution
    height, width = resolution
    return height, width


@cache
def fast_size(n: int) -> int:
    """Return the smallest even length >= n with prime factors 2, 3, 5, 7. Odd and prime lengths cost 2 to 9 times as much."""
    size = n + n % 2
    while True:
        rest = size
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 2


def linear_size(image: Size, kernel: Size) -> Size:
    """Return the FFT size of a zero-padded "same" filter. With n >= H + (K-1)/2 the wrap-around only affects cropped rows."""
    height, width = (fast_size(n + k // 2) for n, k in zip(image, kernel))
    return height, width


def _edge_columns(width: int) -> slice:
    """Return the columns of a half spectrum that are their own mirror: 0 and, for even W, W/2."""
    return slice(None, None, width // 2) if width % 2 == 0 else slice(0, 1)


def hermitian(spectrum: Tensor, width: int) -> Tensor:
    """Return the Hermitian part of a half spectrum (..., H, width//2+1), which is that of a real image.

    Columns 0 and W/2 become (K(u) + conj K(-u)) / 2. The inverse transform on the CPU does this implicitly. cuFFT is defined only
    for Hermitian input, so a learned spectrum must be made Hermitian for the two to agree.
    """
    columns = _edge_columns(width)
    edge = spectrum[..., columns]
    mirrored = edge.flip(-2).roll(1, -2).conj()
    symmetric = spectrum.clone()
    symmetric[..., columns] = (edge + mirrored) / 2
    return symmetric


def _column_weights(width: int, like: Tensor) -> Tensor:
    """Return how often each column of the half spectrum occurs in the full one: 1 if it is its own mirror, else 2."""
    weights = torch.full((width // 2 + 1,), 2.0, dtype=like.real.dtype, device=like.device)
    weights[_edge_columns(width)] = 1.0
    return weights


class _RFFT2(torch.autograd.Function):
    """rfft2 whose backward is one real inverse transform; that of torch is a full complex one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, height: int, width: int) -> Tensor:
        ctx.image, ctx.size = x.shape[-2:], (height, width)
        return torch.fft.rfft2(x, s=(height, width))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        size = ctx.size
        half = hermitian(grad / _column_weights(size[1], grad), size[1])
        full = torch.fft.irfft2(half, s=size, norm="forward")
        return full[..., : ctx.image[0], : ctx.image[1]], None, None


class _IRFFT2(torch.autograd.Function):
    """irfft2 whose backward is one real forward transform."""

    @staticmethod
    def forward(ctx: Any, spectrum: Tensor, height: int, width: int) -> Tensor:
        ctx.size = (height, width)
        return torch.fft.irfft2(spectrum, s=(height, width))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        half = torch.fft.rfft2(grad.contiguous(), norm="forward")  # MKL may reject the expanded gradient of a sum
        return half * _column_weights(ctx.size[1], half), None, None


def rfft2(x: Tensor, size: Size | None = None) -> Tensor:
    """Return the half spectrum of x (..., H, W), zero-padded at the end to `size` if given: (..., size[0], size[1]//2+1)."""
    height, width = size or (x.shape[-2], x.shape[-1])
    return _RFFT2.apply(x, height, width)


def irfft2(spectrum: Tensor, size: Size) -> Tensor:
    """Return the real image (..., *size) of a half spectrum that is Hermitian in columns 0 and W/2."""
    return _IRFFT2.apply(spectrum, *size)


def product(image: Tensor, kernel: Tensor) -> Tensor:
    """Return image * kernel, computed in place in `image` if no gradient is needed, which saves the memory of one map."""
    if torch.is_grad_enabled() and (image.requires_grad or kernel.requires_grad):
        return image * kernel
    return image.mul_(kernel)


def filter_depthwise(x: Tensor, spectrum: Tensor, size: Size | None = None) -> Tensor:
    """Filter x (B, C, H, W) with a spectrum broadcastable to (B, C, *half of size). Circular if `size` is that of the map."""
    height, width = x.shape[-2:]
    size = size or (height, width)
    y = irfft2(product(rfft2(x, size), spectrum), size)
    return y if size == (height, width) else y[..., :height, :width].contiguous()


def kernel_spectrum(kernel: Tensor, size: Size) -> Tensor:
    """Return the spectrum with which `filter_depthwise` equals torch's conv2d, for a centred odd kernel (..., Kh, Kw)."""
    kh, kw = kernel.shape[-2:]
    placed = F.pad(kernel.flip(-2, -1), (0, size[1] - kw, 0, size[0] - kh))
    return rfft2(placed.roll((-(kh // 2), -(kw // 2)), (-2, -1)))


def crop_to_image(kernel: Tensor, image: Size) -> Tensor:
    """Crop an odd kernel (..., Kh, Kw) to the taps that can touch the image: at most (2H-1) x (2W-1)."""
    cut_h, cut_w = (max(k // 2 - (n - 1), 0) for k, n in zip(kernel.shape[-2:], image))
    return kernel[..., cut_h : kernel.shape[-2] - cut_h, cut_w : kernel.shape[-1] - cut_w]


def full_precision(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Run `forward(self, x, ...)` in at least float32, also under autocast, because half-precision FFTs support few sizes.

    The result has the dtype that autocast gives a convolution, or that of x without autocast.
    """

    @wraps(forward)
    def run(self: Any, x: Tensor, *args: Any) -> Tensor:
        device = x.device.type
        autocast = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
        wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        if not autocast:
            return forward(self, wide, *args).to(x.dtype)
        with torch.autocast(device, enabled=False):
            y = forward(self, wide, *args)
        return y if y.dtype == torch.float64 else y.to(torch.get_autocast_dtype(device))  # autocast does not change float64

    return run
