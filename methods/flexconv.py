"""FlexConv: convolutions whose kernel is a continuous function, made by a small network, of a size learned by a Gaussian mask.

Romero, Bruintjes et al., "FlexConv: Continuous Kernel Convolutions with Differentiable Kernel Sizes", ICLR 2022,
https://arxiv.org/abs/2110.08059; depthwise form: Romero, Knigge et al., "Towards a General Purpose CNN for Long Range Dependencies
in N-D" (CCNN), https://arxiv.org/abs/2206.03398. With positions p on the central part of a grid of N x N points over [-1, 1]^2,

    k[o, i](p) = s * mask(p) * (A h(p) + c)[o, i],      y[o] = sum_i k[o, i] * x[i] + b[o]      (zero padding, stride 1)

The depthwise layer has one kernel a channel, made alike, and a 1x1 convolution W, v after it:

    y[o] = sum_i W[o, i] (k[i] * x[i] + b[i]) + v[o]

h is the last hidden layer of the kernel net (`kernel_nets`); mask and crop are those of `gaussian_mask`; s is 1 at the resolution
built for. N, the horizon, is the largest kernel size; the weights do not depend on it.

How ours differs from the published code, equal to rounding unless said:
- the crop keeps at least one grid step on either side of the centre (published: none). A 1 x 1 kernel gives its mask no gradient
  and could never grow; horizons up to 13 begin there at the default width. `min_half_width=0` is the published rule;
- the crop is known before the forward, which therefore never waits for the device (`GaussianMask`);
- the mask is taken inside the linear map: all kernels are combinations of hidden + 1 maps. The Fourier form of the dense layer
  (`dense_paths`) transforms only those, mixes their spectra and cuts large images into tiles (published: the direct sum, or
  C_out * C_in padded transforms when both sides exceed 50, which for non-square kernels give wrong results); the depthwise layer
  has a Fourier form too (published: none in 2-D);
- kernels larger than the map are cut to what can touch it; float64 works, and kernels stay in float32 under autocast;
- the horizon is set when building and by `at_resolution`; it is no part of the state dict.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.conv import FFT_FROM as DEPTHWISE_FFT_FROM
from methods.parts.antialias import Target
from methods.parts.continuous import ContinuousConv, Init, Mode, mask_spread, without_autocast
from methods.parts.cost import Flops, bins, rfft2_flops
from methods.parts.dense_paths import Tiling, basis_spectra, best_tiling, filter_tiles, kept_spectra, mix_from_basis, one_tile
from methods.parts.gaussian_mask import GaussianMask
from methods.parts.kernel_nets import make_kernel_net
from methods.parts.official_weights import Weights
from methods.parts.spectral import Size, filter_depthwise, full_precision, kernel_spectrum, linear_size, pair
from methods.registry import Resolution, Unsupported, register

# Smallest kernel, as the side of a square of its area, for which the Fourier form of a dense kernel wins: on a CPU core, measured
# at 16 to 128 channels and 28 to 112 pixels; elsewhere, estimated from operation counts.
FFT_FROM = {"kept": 9, "infer": 11, "train": 13}
FFT_FROM_ELSEWHERE = 17


def check_backend(backend: str, known: tuple[str, ...]) -> None:
    if backend not in known:
        raise Unsupported(f"backend must be one of {', '.join(known)}, not {backend!r}")


@register("flexconv", paper="https://arxiv.org/abs/2110.08059")
class FlexConv(ContinuousConv):
    """Dense convolution whose kernels a small MAGNet draws and whose size a Gaussian mask learns (ICLR 2022).

    `kernel_size` is the horizon (odd; by default the map's longer side, plus one where even). The kernel net has `hidden` features,
    `layers` layers and frequency scale `omega` (by default the published one of each net). `sigma` is the mask's initial width in
    units of half the horizon; `learn_mean=False` is CCNN's mask, centred for ever. `threshold`, `crop` and `min_half_width` are the
    crop's; `mask=False` leaves the kernel unmasked, with `crop=False` also without mask parameters (CKConv). For `init` and
    `antialias` see `ContinuousConv`. `out_channels` is `channels` by default.

    `backend`: "direct" is torch's convolution, "fft" one transform of the whole map, "tiles" overlap-save with the cheapest tiles,
    "auto" the faster of direct and tiles for the device, the kernel's area and the mode. All are equal to rounding.
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
        net = make_kernel_net(kernel_net, outputs * channels, hidden, layers, omega, mask_spread(sigma, mask or crop))
        epsilon = 0.0 if learn_mean else 1e-8
        window = GaussianMask(sigma, learn_mean, epsilon, threshold, min_half_width) if mask or crop else None
        super().__init__(net, window, resolution, kernel_size, init, mask, crop, antialias, antialias_target)
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
        batch = x.shape[0] if mode != "kept" and isinstance(x.shape[0], int) else 1  # kept spectra serve batches of every size
        tiling = self._tiling(image, self.device_kind(x.device.type), mode, batch)
        with without_autocast(x.device.type):
            made = self.cached(lambda: self._make(image, tiling), image, tiling, self.reach(image), self.horizon, self.scale)
        if tiling is not None:
            return self._by_transform(x, tiling, made)
        kh, kw = made[0].shape[-2:]
        return F.conv2d(x, made[0], self.bias, padding=(kh // 2, kw // 2))

    def _tiling(self, image: Size, device: str, mode: Mode, batch: int = 1) -> Tiling | None:
        """The tiles of the Fourier form, or None for the direct sum."""
        kernel = self.reach(image)
        least = FFT_FROM[mode] if device == "cpu" else FFT_FROM_ELSEWHERE
        if self.backend == "direct" or (self.backend == "auto" and math.prod(kernel) < least**2):
            return None
        if self.backend == "fft":
            return one_tile(image, kernel)
        return best_tiling(image, kernel, self.channels, self.net.hidden + 1, mode == "kept", batch)

    def _make(self, image: Size, tiling: Tiling | None) -> tuple[Tensor, ...]:
        """The kernels; or what the Fourier form needs: all spectra if they are to be kept, else the maps' and the matrix."""
        if tiling is None:
            return (self._dense(self.kernels(image)),)
        basis = basis_spectra(self.maps(image), tiling)
        matrix = self.net.matrix().view(self.channels[1], self.channels[0], -1).permute(2, 1, 0).contiguous()
        return (kept_spectra(basis, matrix),) if self.mode() == "kept" else (basis, matrix)

    @full_precision
    def _by_transform(self, x: Tensor, tiling: Tiling, made: tuple[Tensor, ...]) -> Tensor:
        if len(made) == 1:
            y = filter_tiles(x, tiling, lambda tiles: torch.bmm(tiles, *made), bands=not torch.is_grad_enabled())
        else:
            y = filter_tiles(x, tiling, lambda tiles: mix_from_basis(tiles, *made))
        return y.add_(self.bias[:, None, None])

    def _dense(self, kernels: Tensor) -> Tensor:
        return kernels.unflatten(0, (self.channels[1], self.channels[0]))

    def kernel(self) -> Tensor:
        """(C_out, C_in, Kh, Kw), cropped."""
        return self._dense(self.kernels())

    def flops(self, height: int, width: int) -> Flops:
        image, rank, pairs = (height, width), self.net.hidden + 1, math.prod(self.channels)
        tiling = self._tiling(image, "cpu", "kept")
        if tiling is None:
            taps = pairs * math.prod(self.reach(image))
            return Flops(self.maps_flops() + 2 * rank * taps, 2 * taps * height * width)
        made, apply = tiling.flops(self.channels, rank)
        return Flops(self.maps_flops() + made, apply)


@register("flexconv_dw", paper="https://arxiv.org/abs/2206.03398")
class DepthwiseFlexConv(ContinuousConv):
    """Depthwise continuous kernels of learned size, then a 1x1 convolution: the separable FlexConv of CCNN (2022).

    Options as for `FlexConv`, with CCNN's initialisation of the kernel net: `omega`, in cycles, was tuned for each data set (by
    default 977, CIFAR-10's) and `init` "chang" is the published one. The mask is centred unless `learn_mean`. `backend`: "direct",
    "fft" or "auto", the faster one.
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
        net = make_kernel_net(kernel_net, channels, hidden, layers, omega, mask_spread(sigma), "ccnn")
        window = GaussianMask(sigma, learn_mean, 1e-8, threshold, min_half_width)
        super().__init__(net, window, resolution, kernel_size, init, True, crop, antialias, antialias_target)
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
        transform = self._takes_transform(image, self.device_kind(x.device.type), self.mode())
        with without_autocast(x.device.type):
            made = self.cached(lambda: self._make(image, transform), image, transform, self.reach(image), self.horizon, self.scale)
        if transform:
            return self.pointwise(self._by_transform(x, made))
        kh, kw = made.shape[-2:]
        return self.pointwise(F.conv2d(x, made, self.bias, padding=(kh // 2, kw // 2), groups=x.shape[1]))

    def _takes_transform(self, image: Size, device: str, mode: Mode) -> bool:
        if self.backend != "auto":
            return self.backend == "fft"
        least = DEPTHWISE_FFT_FROM["train" if mode == "train" else "infer"]
        return device == "cpu" and max(self.reach(image)) >= least

    def _make(self, image: Size, transform: bool) -> Tensor:
        """The kernels (C, 1, Kh, Kw) or their spectra (C, *half of the transform's size)."""
        kernels = self.kernels(image)
        return kernel_spectrum(kernels, linear_size(image, self.reach(image))) if transform else kernels[:, None]

    @full_precision
    def _by_transform(self, x: Tensor, spectrum: Tensor) -> Tensor:
        image = pair(x.shape[-2:])
        return filter_depthwise(x, spectrum, linear_size(image, self.reach(image))) + self.bias[:, None, None]

    def kernel(self) -> Tensor:
        """The depthwise kernels (C, Kh, Kw), cropped; the 1x1 convolution follows them."""
        return self.kernels()

    def flops(self, height: int, width: int) -> Flops:
        image, channels = (height, width), len(self.bias)
        taps = channels * math.prod(self.reach(image))
        kernel = self.maps_flops() + 2 * (self.net.hidden + 1) * taps
        pointwise = 2 * self.pointwise.weight.numel() * height * width
        if not self._takes_transform(image, "cpu", "kept"):
            return Flops(kernel, 2 * taps * height * width + pointwise)
        size = linear_size(image, self.reach(image))
        transform = channels * rfft2_flops(*size)
        return Flops(kernel + transform, 2 * transform + 6 * channels * bins(*size) + pointwise)

    def from_official(self, weights: Weights) -> dict[str, Tensor]:
        own = super().from_official(weights)
        weight, bias = (weights.take(f"channel_mixer.{name}") for name in ("weight", "bias"))
        return own | {"pointwise.weight": weight[..., None, None], "pointwise.bias": bias}
