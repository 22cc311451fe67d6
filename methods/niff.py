"""NIFF: map-sized filters whose spectra are computed by a small network of the frequency (Grabinski et al., TMLR 2024).

Notation: B batch, I input channels, O output channels, H rows, W columns, f a frequency, P the number of points of the half
spectrum H x (W//2+1).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.parts.cost import Flops, bins, rfft2_flops
from methods.parts.freezing import Freezable
from methods.parts.niff_mlp import FrequencyMLP, coordinates
from methods.parts.official_weights import Weights, assign
from methods.parts.spectral import (
    Size,
    filter_depthwise,
    full_precision,
    hermitian,
    irfft2,
    kernel_spectrum,
    linear_size,
    pair,
    rfft2,
)
from methods.registry import Resolution, Unsupported, register

NIFF = "https://arxiv.org/abs/2307.10001"
OPTIONS = {
    "mode": ("depthwise", "split", "full"),
    "boundary": ("circular", "zero"),
    "coords": ("index", "normalized"),
    "init": ("default", "broad"),
}


def filter_dense(x: Tensor, spectrum: Tensor, size: Size) -> Tensor:
    """Filter x (B, I, H, W) with a dense spectrum (P, I, O) on the grid of `size`: (B, O, H, W)."""
    images = rfft2(x, size)
    # one complex matrix product per frequency on contiguous operands: 2 to 4 times faster than einsum
    mixed = torch.bmm(images.flatten(2).permute(2, 0, 1).contiguous(), spectrum)  # (P, B, O)
    y = irfft2(mixed.permute(1, 2, 0).unflatten(2, images.shape[-2:]), size)
    return y[..., : x.shape[-2], : x.shape[-1]].contiguous()


@register("niff_full", mode="full", hidden=(8,), paper=NIFF)
@register("niff_split", mode="split", paper=NIFF)
@register("niff_big", hidden=(16, 128, 32), paper=NIFF)
@register("niff", paper=NIFF)
class Niff(Freezable):
    """Neural implicit frequency filter: two small MLPs of the frequency compute the spectrum of each channel.

    The real spatial filter of the complex spectrum V is the inverse transform of its Hermitian part K, which consists of the even
    part of the first MLP and the odd part of the second:

        V(f) = MLP_re(f) + i MLP_im(f),    K(f) = (V(f) + conj V(-f)) / 2,    y[c] = irfft2(K[c] * rfft2(x[c]))

    - `hidden`: units of each hidden layer of the MLPs; a number is one layer.
    - `mode`: "depthwise"; "split" = depthwise, then a bias-free 1x1 convolution; "full" = one spectrum per pair of channels,
      y[o] = irfft2(sum_i K[i, o] * rfft2(x[i])).
    - `boundary`: "circular" as published; or "zero": the same filter, with taps at the offsets -floor(H/2)..ceil(H/2)-1 (and the
      same for W), applied with zero padding instead of the wrap-around.
    - `coords`: "index" as published: the input of the MLPs is in cycles per map, so another map size changes the filter and
      extrapolates; or "normalized": index / size * (built size), which preserves the extent of the filter in pixels. Both agree at
      the built size.
    - `init`: "default" as published (torch's): the kernel is close to zero a few pixels from its centre; or "broad" (ours): bumps
      from a few pixels wide to as wide as the map, for tasks that narrow kernels cannot solve.
    - `out_channels`: "split" and "full" only; default: channels.

    Raises `Unsupported` for any other value of an option.

    Differences from the published code (github.com/GeJulia/NIFF):
    - The closed form above on the half spectrum replaces two full complex transforms with shifts.
    - Any H x W is supported, odd and non-square (published: square).
    - Channels are not rolled, which only permutes them; `load_official` converts weights.
    - The 1x1 layer of "split" is a plain convolution.

    The last bias of the imaginary MLP has no effect, since the odd part of a constant is zero. It exists so that parameter counts
    equal the published ones.
    """

    inert = ("imag.last.bias",)

    def __init__(
        self,
        channels: int,
        resolution: Resolution,
        hidden: int | tuple[int, ...] = (8, 4),
        mode: Literal["depthwise", "split", "full"] = "depthwise",
        boundary: Literal["circular", "zero"] = "circular",
        coords: Literal["index", "normalized"] = "index",
        init: Literal["default", "broad"] = "default",
        out_channels: int | None = None,
    ):
        super().__init__()
        for name, value in (("mode", mode), ("boundary", boundary), ("coords", coords), ("init", init)):
            if value not in OPTIONS[name]:
                raise Unsupported(f"{name} must be one of {', '.join(OPTIONS[name])}, not {value!r}")
        hidden = (hidden,) if isinstance(hidden, int) else tuple(hidden)
        if not hidden or min(hidden) < 1:
            raise Unsupported(f"hidden must give at least one layer of at least one unit, not {hidden!r}")
        self.channels, self.out_channels = channels, out_channels or channels
        if mode == "depthwise" and self.out_channels != channels:
            raise Unsupported(f"mode depthwise has as many output as input channels, {channels}, not {out_channels}")
        self.resolution, self.mode, self.boundary, self.coords = pair(resolution), mode, boundary, coords
        self.mixes_channels = mode != "depthwise"
        filters = channels * self.out_channels if mode == "full" else channels
        self.real = FrequencyMLP(hidden, filters)
        self.imag = FrequencyMLP(hidden, filters)
        self.mix = nn.Conv2d(channels, self.out_channels, 1, bias=False) if mode == "split" else nn.Identity()
        if init == "broad":
            if len(hidden) < 2 or hidden[0] < 4:
                raise Unsupported(f"init broad needs two or more hidden layers, the first of at least four units, not {hidden!r}")
            self.real.broaden()

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(self._filter(x))

    @full_precision
    def _filter(self, x: Tensor) -> Tensor:
        image = pair(x.shape[-2:])
        spectrum, size = self.cached(lambda: self._filter_spectrum(image), image)
        return (filter_dense if self.mode == "full" else filter_depthwise)(x, spectrum, size)

    def _filter_spectrum(self, image: Size) -> tuple[Tensor, Size]:
        """Return the spectrum as `filter_depthwise` (C, *half of size) or `filter_dense` (P, I, O) needs it, and the FFT size."""
        spectrum, size = self.spectrum(image), image
        if self.boundary == "zero":
            taps = F.pad(self._taps(spectrum, image), (0, 1 - image[1] % 2, 0, 1 - image[0] % 2))  # odd size, still centred
            size = linear_size(image, pair(taps.shape[-2:]))
            spectrum = kernel_spectrum(taps.flip(-2, -1), size)
        if self.mode == "full":
            spectrum = spectrum.view(self.channels, self.out_channels, -1).permute(2, 0, 1).contiguous()
        return spectrum, size

    def spectrum(self, image: Size) -> Tensor:
        """Return the half spectra on a map of H x W: (C, H, W//2+1), in mode "full" (I * O, H, W//2+1) with o varying fastest.

        Columns 0 and W/2 are made exactly Hermitian, because rounding in the matrix product breaks the symmetry.
        """
        (height, width), like = image, self.real.last.weight
        y, x = coordinates(height, height, like), coordinates(width, width // 2 + 1, like)
        if self.coords == "normalized":
            y, x = y * (self.resolution[0] / height), x * (self.resolution[1] / width)
        grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None])).flatten(2)  # (2, 2, P)
        spectrum = torch.complex(self.real.part(grid, 1), self.imag.part(grid, -1))
        return hermitian(spectrum.unflatten(1, (height, width // 2 + 1)), width)

    def _taps(self, spectrum: Tensor, image: Size) -> Tensor:
        """Return the impulse responses (filters, H, W) with offset 0 at (H//2, W//2)."""
        return irfft2(spectrum, image).roll((image[0] // 2, image[1] // 2), (-2, -1))

    def kernel(self) -> Tensor:
        """Return the impulse responses at the built size: (C, H, W), in mode "full" (O, I, H, W), without the 1x1 of "split".

        Entry (H//2 + dy, W//2 + dx) is h(dy, dx) of y(p) = sum_d h(d) x(p - d): offsets -floor(H/2)..ceil(H/2)-1.
        """
        taps = self._taps(self.spectrum(self.resolution), self.resolution)
        return taps.unflatten(0, (self.channels, self.out_channels)).transpose(0, 1) if self.mode == "full" else taps

    def flops(self, height: int, width: int) -> Flops:
        filters, size = self.real.last.out_features, (height, width)
        hidden = sum(p.numel() for p in self.real.layers.parameters() if p.ndim == 2)  # evaluated at f and at -f
        kernel = 2 * bins(*size) * (2 * 2 * hidden + 2 * self.real.last.weight.numel())
        if self.boundary == "zero":
            size = linear_size(size, (2 * (height // 2) + 1, 2 * (width // 2) + 1))
            kernel += filters * (rfft2_flops(height, width) + rfft2_flops(*size))
        maps = self.channels + (self.out_channels if self.mode == "full" else self.channels)
        product = (8 if self.mode == "full" else 6) * filters * bins(*size)
        mix = 2 * height * width * sum(p.numel() for p in self.mix.parameters())
        return Flops(kernel, maps * rfft2_flops(*size) + product + mix)

    def load_official(self, state: dict[str, Tensor]) -> None:
        """Load weights of the official layers. Their shifts over all axes roll the channels, which is undone here.

        "depthwise": `FreqConv_DW_fftifft`; "split": `Sequential(FreqConv_DW_fft, FreqConv_1x1_ifft)`; "full":
        `FreqConv_full_fftifft`. Raises KeyError for a missing or unknown name, and ValueError (RuntimeError in mode "full") for a
        wrong shape.
        """
        weights = Weights(state)
        own = {name: self._unrolled(name, weights.take(official)) for official, name in self._official_names().items()}
        weights.finish()
        assign(self, own)

    def _official_names(self) -> dict[str, str]:
        """Map official parameter names to ours."""
        prefix = "0." if self.mode == "split" else ""
        names = {"1.mlp.weight": "mix.weight"} if self.mode == "split" else {}
        layers = [*(f"layers.{i}" for i in range(len(self.real.layers))), "last"]
        for part in ("real", "imag"):
            for number, layer in enumerate(layers, 1):
                for kind in ("weight", "bias"):
                    names[f"{prefix}mlp_{part}.layer_mpl{number}.{kind}"] = f"{part}.{layer}.{kind}"
        return names

    def _unrolled(self, name: str, value: Tensor) -> Tensor:
        """Reorder official weights to our channels: channel c has the official index (c + C//2) mod C."""
        into, out = -(self.channels // 2), -(self.out_channels // 2)
        if name == "mix.weight":
            return value.roll((out, into), (0, 1))[..., None, None]
        if ".last." not in name:
            return value
        if self.mode == "full":
            return value.unflatten(0, (self.channels, self.out_channels)).roll((into, out), (0, 1)).flatten(0, 1)
        return value.roll(into, 0)
