"""Standard dense and depthwise convolutions, the baselines of all other methods."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.parts.cost import Flops, bins, rfft2_flops
from methods.parts.freezing import Freezable
from methods.parts.spectral import crop_to_image, filter_depthwise, full_precision, kernel_spectrum, linear_size, pair
from methods.registry import Resolution, Unsupported, register

CONVNEXT = "https://arxiv.org/abs/2201.03545"
REPLKNET = "https://arxiv.org/abs/2203.06717"
RESNET = "https://arxiv.org/abs/1512.03385"
# Smallest kernel for which "auto" selects the Fourier form on a CPU: oneDNN's depthwise forward is much slower from k = 15 on in
# NCHW, and its weight gradient is slow from k = 9 on. On a GPU "auto" selects the direct form.
FFT_FROM = {"infer": 15, "train": 9}


def odd_sizes(kernel_size: int | str, resolution: Resolution) -> tuple[int, int]:
    """Return (Kh, Kw) of a kernel size. "full" is the size of the map, 2 * floor(R / 2) + 1.

    Raises `Unsupported` if the size is not a positive odd number.
    """
    height, width = pair(resolution)
    if kernel_size == "full":
        return 2 * (height // 2) + 1, 2 * (width // 2) + 1
    if not isinstance(kernel_size, int) or kernel_size < 1 or kernel_size % 2 == 0:
        raise Unsupported(f"kernel_size must be a positive odd number, not {kernel_size!r}")
    return kernel_size, kernel_size


@register("conv", paper=RESNET)
@register("conv7", kernel_size=7, paper=RESNET)
@register("conv3", kernel_size=3, paper=RESNET)
class Conv(nn.Module):
    """Standard dense convolution, zero padding, bias: y[o] = sum_i w[o, i] * x[i] + b[o].

    Here * is torch's cross-correlation. At a pixel p, with x = 0 outside the map:

        y[o, p] = sum_i sum_d w[o, i, d] x[i, p + d] + b[o],    d from -(K-1)/2 to (K-1)/2 along either axis

    `out_channels` is `channels` by default.
    """

    mixes_channels = True

    def __init__(self, channels: int, resolution: Resolution, kernel_size: int, out_channels: int | None = None):
        super().__init__()
        height, width = odd_sizes(kernel_size, resolution)
        self.conv = nn.Conv2d(channels, out_channels or channels, (height, width), padding=(height // 2, width // 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)

    def kernel(self) -> Tensor:
        return self.conv.weight

    def flops(self, height: int, width: int) -> Flops:
        return Flops(0, 2 * self.conv.weight.numel() * height * width)

    def load_official(self, state: dict[str, Tensor]) -> None:
        """Load weights of an `nn.Conv2d`: `weight` (C, C, K, K), `bias` (C)."""
        self.conv.load_state_dict(state)


@register("dwconv_fft", backend="fft", paper=REPLKNET)
@register("dwconv_direct", backend="direct", paper=REPLKNET)
@register("dwconv", paper=REPLKNET)
@register("dwconv_full", kernel_size="full", paper=REPLKNET)
@register("dwconv51", kernel_size=51, paper="https://arxiv.org/abs/2207.03620")
@register("dwconv31_direct", kernel_size=31, backend="direct", paper=REPLKNET)
@register("dwconv31", kernel_size=31, paper=REPLKNET)
@register("dwconv13", kernel_size=13, paper=REPLKNET)
@register("dwconv7", kernel_size=7, paper=CONVNEXT)
@register("dwconv3", kernel_size=3, paper="https://arxiv.org/abs/1704.04861")
class DepthwiseConv(Freezable):
    """Depthwise convolution, zero padding, bias: y[c] = w[c] * x[c] + b[c].

    Here * is torch's cross-correlation. At a pixel p, with x = 0 outside the map:

        y[c, p] = sum_d w[c, d] x[c, p + d] + b[c],    d from -(K-1)/2 to (K-1)/2 along either axis

    `backend` is "direct" (torch's convolution), "fft" (the same sum by a zero-padded FFT, equal up to rounding) or "auto", which
    selects the faster of the two by device, kernel size and mode.
    """

    target: str | None = None  # device type for which "auto" decides; None: that of the input

    def __init__(
        self,
        channels: int,
        resolution: Resolution,
        kernel_size: int | str,
        backend: Literal["auto", "direct", "fft"] = "auto",
    ):
        super().__init__()
        if backend not in ("auto", "direct", "fft"):
            raise Unsupported(f"backend must be auto, direct or fft, not {backend!r}")
        size = odd_sizes(kernel_size, resolution)
        self.backend = backend
        self.weight = nn.Parameter(torch.empty(channels, 1, *size))
        self.bias = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise as `nn.Conv2d` does: weight and bias uniform within +-1 / sqrt(Kh * Kw)."""
        bound = 1 / math.sqrt(self.weight[0].numel())
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        if self._path(x.device.type) == "fft":
            return self._fft_forward(x)
        kh, kw = self.weight.shape[-2:]
        return F.conv2d(x, self.weight, self.bias, padding=(kh // 2, kw // 2), groups=x.shape[1])

    def _path(self, device: str) -> str:
        if self.backend != "auto":
            return self.backend
        mode = "train" if self.weight.requires_grad and torch.is_grad_enabled() else "infer"
        on_cpu = (self.target or device) in ("cpu", "meta")
        return "fft" if on_cpu and max(self.weight.shape[-2:]) >= FFT_FROM[mode] else "direct"

    @full_precision
    def _fft_forward(self, x: Tensor) -> Tensor:
        image = pair(x.shape[-2:])
        spectrum, size = self.cached(lambda: self._spectrum(image), image)
        return filter_depthwise(x, spectrum, size) + self.bias[:, None, None]

    def _spectrum(self, image: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
        kernel = crop_to_image(self.weight[:, 0], image)
        size = linear_size(image, pair(kernel.shape[-2:]))
        return kernel_spectrum(kernel, size), size

    def kernel(self) -> Tensor:
        return self.weight[:, 0]

    @torch.no_grad()
    def flops(self, height: int, width: int) -> Flops:
        channels, _, kh, kw = self.weight.shape
        if self._path("meta") == "direct":
            return Flops(0, 2 * self.weight.numel() * height * width)
        cropped = min(kh, 2 * height - 1), min(kw, 2 * width - 1)
        size = linear_size((height, width), cropped)
        return Flops(channels * rfft2_flops(*size), channels * (2 * rfft2_flops(*size) + 6 * bins(*size)))

    def load_official(self, state: dict[str, Tensor]) -> None:
        """Load weights of a depthwise `nn.Conv2d`: `weight` (C, 1, K, K), `bias` (C)."""
        self.load_state_dict(state)
