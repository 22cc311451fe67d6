"""FlexConv: convolutions whose kernel is a continuous function (a small network) with a size learned by a Gaussian mask.

Romero, Bruintjes et al., "FlexConv: Continuous Kernel Convolutions with Differentiable Kernel Sizes", ICLR 2022,
https://arxiv.org/abs/2110.08059; depthwise form: Romero, Knigge et al., "Towards a General Purpose CNN for Long Range Dependencies
in N-D" (CCNN), https://arxiv.org/abs/2206.03398. With positions p on the central part of a grid of N x N points over [-1, 1]^2,

    k[o, i](p) = s * mask(p) * (A h(p) + c)[o, i],      y[o] = sum_i k[o, i] * x[i] + b[o]      (zero padding, stride 1)

The depthwise layer has one such kernel per channel, followed by a 1x1 convolution W, v:

    y[o] = sum_i W[o, i] (k[i] * x[i] + b[i]) + v[o]

h is the last hidden layer of the kernel network (see `kernel_nets`). Mask and crop are described in `gaussian_mask`. s is 1 at the
built resolution. N, the horizon, is the largest kernel size; the weights do not depend on it.

Differences from the published code (equal up to rounding unless stated):
- The crop retains at least one grid step on either side of the centre (published: none). A 1 x 1 kernel gives its mask no gradient
  and cannot grow; at the default width this is the initial size of horizons up to 13. `min_half_width=0` is the published rule.
- The crop is known before the forward pass, which therefore does not synchronise with the device (see `GaussianMask`).
- The mask is applied to the maps before the linear output layer: all kernels are linear combinations of hidden + 1 maps. The
  Fourier form of the dense layer (`dense_paths`) transforms only these, mixes their spectra and cuts large images into tiles.
  Published: the direct sum, or C_out * C_in padded transforms if both sides exceed 50, which give wrong results for non-square
  kernels. The depthwise layer also has a Fourier form (published: none in 2-D).
- Kernels larger than the map are cropped to the taps that can touch it. float64 is supported, and kernels stay in float32 under
  autocast.
- The horizon is set by the constructor and by `at_resolution`. It is not part of the state dict.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.conv import FFT_FROM as DEPTHWISE_FFT_FROM
from methods.parts.antialias import Target
from methods.parts.continuous import ContinuousConv, ContinuousOptions, Init, Mode, mask_spread, without_autocast
from methods.parts.cost import Flops, bins, rfft2_flops
from methods.parts.dense_paths import Tiling, basis_spectra, best_tiling, cached_spectra, filter_tiles, mix_from_basis, single_tile
from methods.parts.gaussian_mask import GaussianMask
from methods.parts.kernel_nets import KernelNetConfig, make_kernel_net
from methods.parts.official_weights import Weights
from methods.parts.spectral import Size, filter_depthwise, full_precision, kernel_spectrum, linear_size, pair
from methods.registry import Resolution, Unsupported, register

# Smallest kernel, as the side of a square of its area, for which the Fourier form of a dense kernel is faster. CPU core: measured
# at 16 to 128 channels and 28 to 112 pixels. Other devices: estimated from operation counts.
FFT_FROM = {"cached": 9, "infer": 11, "train": 13}
FFT_FROM_ELSEWHERE = 17


def check_backend(backend: str, known: tuple[str, ...]) -> None:
    if backend not in known:
        raise Unsupported(f"backend must be one of {', '.join(known)}, not {backend!r}")


@register("flexconv", paper="https://arxiv.org/abs/2110.08059")
class FlexConv(ContinuousConv):
    """Dense convolution with continuous kernels from a small MAGNet, sized by a learned Gaussian mask (ICLR 2022).

    `kernel_size` is the horizon (odd; by default the longer side of the map, plus one if even). The kernel network has `hidden`
    features, `layers` layers and frequency scale `omega` (by default the published value of each network). `sigma` is the initial
    width of the mask in units of half the horizon; `learn_mean=False` fixes its centre, as in CCNN. `threshold`, `crop` and
    `min_half_width` control the crop. `mask=False` leaves the kernel unmasked; with `crop=False` there are no mask parameters
    either (CKConv). For `init` and `antialias` see `ContinuousOptions`. `out_channels` is `channels` by default.

    `backend`: "direct" is torch's convolution, "fft" one transform of the whole map, "tiles" overlap-save with the cheapest tiles,
    "auto" the faster of direct and tiles by device, area of the kernel and mode. All are equal up to rounding.
    """

    mixes_channels = True

    def __init__(
        self,
        channels: int,
        resolution: Resolution,
        kernel_size: int | None = None,
        kernel_net: str = "magnet",
        hidden: int = 32,
        layers: int = 3,
        omega: float | None = None,
        sigma: float = 0.075,
        learn_mean: bool = True,
        threshold: float = 0.1,
        mask: bool = True,
        crop: bool = True,
        min_half_width: int = 1,
        init: Init = "official",
        antialias: float = 0.0,
        antialias_target: Target = "gabor",
        backend: Literal["auto", "direct", "fft", "tiles"] = "auto",
        out_channels: int | None = None,
    ):
        check_backend(backend, ("auto", "direct", "fft", "tiles"))
        outputs = channels if out_channels is None else out_channels
        config = KernelNetConfig(kernel_net, hidden, layers, omega, mask_spread(sigma, mask or crop))
        net = make_kernel_net(config, outputs * channels)
        epsilon = 0.0 if learn_mean else 1e-8
        window = GaussianMask(sigma, learn_mean, epsilon, threshold, min_half_width) if mask or crop else None
        options = ContinuousOptions(init, mask, crop, antialias, antialias_target)
        super().__init__(net, window, resolution, kernel_size, options)
        self.channels, self.backend = (channels, outputs), backend
        self.bias = nn.Parameter(torch.zeros(outputs))
        if init == "chang":
            self._apply_chang()

    def _chang_factor(self) -> float:
        kh, kw = self.cropped()
        return 1 / math.sqrt(self.channels[0] * kh * kw)

    def forward(self, x: Tensor) -> Tensor:
        image = pair(x.shape[-2:])
        mode = self.mode()
        batch = x.shape[0] if mode != "cached" and isinstance(x.shape[0], int) else 1  # one cache for all batch sizes
        tiling = self._tiling(image, self.device_kind(x.device.type), mode, batch)
        with without_autocast(x.device.type):
            cropped = self.size_on(image)
            filters = self.cached(lambda: self._make(image, tiling), image, tiling, cropped, self.horizon, self.scale)
        if tiling is not None:
            return self._fft_forward(x, tiling, filters)
        kh, kw = filters[0].shape[-2:]
        return F.conv2d(x, filters[0], self.bias, padding=(kh // 2, kw // 2))

    def _tiling(self, image: Size, device: str, mode: Mode, batch: int = 1) -> Tiling | None:
        """Return the tiles of the Fourier form, or None for the direct sum."""
        kernel = self.size_on(image)
        least = FFT_FROM[mode] if device == "cpu" else FFT_FROM_ELSEWHERE
        if self.backend == "direct" or (self.backend == "auto" and math.prod(kernel) < least**2):
            return None
        if self.backend == "fft":
            return single_tile(image, kernel)
        return best_tiling(image, kernel, self.channels, self.net.hidden + 1, mode == "cached", batch)

    def _make(self, image: Size, tiling: Tiling | None) -> tuple[Tensor, ...]:
        """Return (kernels,) for the direct sum, (spectra,) if they are cached, else (spectra of the maps, matrix)."""
        if tiling is None:
            return (self._dense(self.kernels(image)),)
        basis = basis_spectra(self.maps(image), tiling)
        matrix = self.net.matrix().view(self.channels[1], self.channels[0], -1).permute(2, 1, 0).contiguous()
        return (cached_spectra(basis, matrix),) if self.mode() == "cached" else (basis, matrix)

    @full_precision
    def _fft_forward(self, x: Tensor, tiling: Tiling, filters: tuple[Tensor, ...]) -> Tensor:
        if len(filters) == 1:
            y = filter_tiles(x, tiling, lambda tiles: torch.bmm(tiles, *filters), bands=not torch.is_grad_enabled())
        else:
            y = filter_tiles(x, tiling, lambda tiles: mix_from_basis(tiles, *filters))
        return y.add_(self.bias[:, None, None])

    def _dense(self, kernels: Tensor) -> Tensor:
        return kernels.unflatten(0, (self.channels[1], self.channels[0]))

    def kernel(self) -> Tensor:
        """Return the cropped kernel (C_out, C_in, Kh, Kw)."""
        return self._dense(self.kernels())

    def flops(self, height: int, width: int) -> Flops:
        image, rank, pairs = (height, width), self.net.hidden + 1, math.prod(self.channels)
        tiling = self._tiling(image, "cpu", "cached")
        if tiling is None:
            taps = pairs * math.prod(self.size_on(image))
            return Flops(self.maps_flops() + 2 * rank * taps, 2 * taps * height * width)
        spectra, apply = tiling.flops(self.channels, rank)
        return Flops(self.maps_flops() + spectra, apply)


@register("flexconv_dw", paper="https://arxiv.org/abs/2206.03398")
class DepthwiseFlexConv(ContinuousConv):
    """Depthwise continuous kernels of learned size, then a 1x1 convolution: the separable FlexConv of CCNN (2022).

    Options are those of `FlexConv`, with CCNN's initialisation of the kernel network. `omega`, in cycles, was tuned per data set
    (the default of 977 is that of CIFAR-10). `init` "chang" is the published one. The mask is centred unless `learn_mean`.
    `backend`: "direct", "fft" or "auto", the faster of the two.
    """

    mixes_channels = True

    def __init__(
        self,
        channels: int,
        resolution: Resolution,
        kernel_size: int | None = None,
        kernel_net: str = "magnet",
        hidden: int = 32,
        layers: int = 3,
        omega: float | None = None,
        sigma: float = 0.075,
        learn_mean: bool = False,
        threshold: float = 0.1,
        crop: bool = True,
        min_half_width: int = 1,
        init: Init = "chang",
        antialias: float = 0.0,
        antialias_target: Target = "gabor",
        backend: Literal["auto", "direct", "fft"] = "auto",
        out_channels: int | None = None,
    ):
        check_backend(backend, ("auto", "direct", "fft"))
        net = make_kernel_net(KernelNetConfig(kernel_net, hidden, layers, omega, mask_spread(sigma), "ccnn"), channels)
        window = GaussianMask(sigma, learn_mean, 1e-8, threshold, min_half_width)
        options = ContinuousOptions(init, masked=True, crop=crop, antialias=antialias, antialias_target=antialias_target)
        super().__init__(net, window, resolution, kernel_size, options)
        self.backend = backend
        self.bias = nn.Parameter(torch.zeros(channels))
        outputs = channels if out_channels is None else out_channels
        self.pointwise = nn.Conv2d(channels, outputs, 1)
        self.pointwise.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.kaiming_normal_(self.pointwise.weight)
        if init == "chang":
            self._apply_chang()

    def _chang_factor(self) -> float:
        return 1 / math.sqrt(math.prod(self.cropped()))

    def forward(self, x: Tensor) -> Tensor:
        image = pair(x.shape[-2:])
        use_fft = self._uses_fft(image, self.device_kind(x.device.type), self.mode())
        with without_autocast(x.device.type):
            cropped = self.size_on(image)
            filters = self.cached(lambda: self._make(image, use_fft), image, use_fft, cropped, self.horizon, self.scale)
        if use_fft:
            return self.pointwise(self._fft_forward(x, filters))
        kh, kw = filters.shape[-2:]
        return self.pointwise(F.conv2d(x, filters, self.bias, padding=(kh // 2, kw // 2), groups=x.shape[1]))

    def _uses_fft(self, image: Size, device: str, mode: Mode) -> bool:
        if self.backend != "auto":
            return self.backend == "fft"
        least = DEPTHWISE_FFT_FROM["train" if mode == "train" else "infer"]
        return device == "cpu" and max(self.size_on(image)) >= least

    def _make(self, image: Size, use_fft: bool) -> Tensor:
        """Return the kernels (C, 1, Kh, Kw) or their half spectra (C, *half of the FFT size)."""
        kernels = self.kernels(image)
        return kernel_spectrum(kernels, linear_size(image, self.size_on(image))) if use_fft else kernels[:, None]

    @full_precision
    def _fft_forward(self, x: Tensor, spectrum: Tensor) -> Tensor:
        image = pair(x.shape[-2:])
        return filter_depthwise(x, spectrum, linear_size(image, self.size_on(image))) + self.bias[:, None, None]

    def kernel(self) -> Tensor:
        """Return the cropped depthwise kernels (C, Kh, Kw), without the 1x1 convolution."""
        return self.kernels()

    def flops(self, height: int, width: int) -> Flops:
        image, channels = (height, width), len(self.bias)
        taps = channels * math.prod(self.size_on(image))
        kernel = self.maps_flops() + 2 * (self.net.hidden + 1) * taps
        pointwise = 2 * self.pointwise.weight.numel() * height * width
        if not self._uses_fft(image, "cpu", "cached"):
            return Flops(kernel, 2 * taps * height * width + pointwise)
        size = linear_size(image, self.size_on(image))
        transform = channels * rfft2_flops(*size)
        return Flops(kernel + transform, 2 * transform + 6 * channels * bins(*size) + pointwise)

    def from_official(self, weights: Weights) -> dict[str, Tensor]:
        own = super().from_official(weights)
        weight, bias = (weights.take(f"channel_mixer.{name}") for name in ("weight", "bias"))
        return own | {"pointwise.weight": weight[..., None, None], "pointwise.bias": bias}
