"""NIFF: filters as large as the map, whose spectra a small network computes from the frequency (Grabinski et al., TMLR 2024).

Letters: B batch, I and O channels in and out, H rows, W columns, f a frequency, P the points of the half spectrum H x (W//2+1).
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
    """Filter x (B, I, H, W) with spectrum (P, I, O), P the points of the half spectrum of `size`: (B, O, H, W)."""
    images = rfft2(x, size)
    # one complex matrix product a frequency, on contiguous operands: 2 to 4 times faster than einsum
    mixed = torch.bmm(images.flatten(2).permute(2, 0, 1).contiguous(), spectrum)  # (P, B, O)
    y = irfft2(mixed.permute(1, 2, 0).unflatten(2, images.shape[-2:]), size)
    return y[..., : x.shape[-2], : x.shape[-1]].contiguous()


@register("niff_full", mode="full", hidden=(8,), paper=NIFF)
@register("niff_split", mode="split", paper=NIFF)
@register("niff_big", hidden=(16, 128, 32), paper=NIFF)
@register("niff", paper=NIFF)
class Niff(Freezable):
    """Neural implicit frequency filter: two small MLPs of the frequency give each channel's spectrum.

    The real spatial filter of the complex spectrum V is the inverse transform of its Hermitian part K, that is of the even part of
    the first MLP and the odd part of the second:

        V(f) = MLP_re(f) + i MLP_im(f),    K(f) = (V(f) + conj V(-f)) / 2,    y[c] = irfft2(K[c] * rfft2(x[c]))

    - `hidden`: units of each hidden layer of the MLPs; a number is one layer.
    - `mode`: "depthwise"; "split" = depthwise, then a bias-free 1x1 convolution; "full" = one spectrum for each pair of channels,
      y[o] = irfft2(sum_i K[i, o] * rfft2(x[i])).
    - `boundary`: "circular" as published, or "zero": the filter as it is on this map, its taps at the offsets
      -floor(H/2)..ceil(H/2)-1 (and the same for W), with zeros outside the map instead of the wrap-around.
    - `coords`: "index" as published, where the MLPs see cycles a map, so another map size changes the filter and extrapolates; or
      "normalized", where index / size * (size built for) keeps the filter's extent in pixels. Both agree at the size built for.
    - `init`: "default" as published (torch's), where a kernel sums to almost nothing a few pixels from its centre; or "broad",
      ours: bumps from a few pixels to the whole map wide, for a task that no narrow kernel solves.
    - `out_channels`: "split" and "full" only; default: channels.

    Raises `Unsupported` for any other value of an option.

    Differences from the published code (github.com/GeJulia/NIFF): the closed form above on the half spectrum instead of two full
    complex transforms with shifts; any H x W, odd and non-square (official: square); no roll of the channels, which only renames
    them (`load_official` translates); the 1x1 of "split" as a plain convolution. The last bias of the imaginary MLP has no effect
    (the odd part of a constant is zero); it is kept, so that parameters are counted as published.
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
            raise Unsupported(f"hidden must name at least one layer of at least one unit, not {hidden!r}")
        self.channels, self.out_channels = channels, out_channels or channels
        if mode == "depthwise" and self.out_channels != channels:
            raise Unsupported(f"a depthwise filter keeps its {channels} channels, it cannot give {out_channels}")
        self.resolution, self.mode, self.boundary, self.coords = pair(resolution), mode, boundary, coords
        self.mixes_channels = mode != "depthwise"
        filters = channels * self.out_channels if mode == "full" else channels
        self.real = FrequencyMLP(hidden, filters)
        self.imag = FrequencyMLP(hidden, filters)
        self.mix = nn.Conv2d(channels, self.out_channels, 1, bias=False) if mode == "split" else nn.Identity()
        if init == "broad":
            if len(hidden) < 2 or hidden[0] < 4:
                raise Unsupported(f"broad kernels need two hidden layers, the first of four units or more, not {hidden!r}")
            self.real.broaden()

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(self._filter(x))

    @full_precision
    def _filter(self, x: Tensor) -> Tensor:
        image = pair(x.shape[-2:])
        spectrum, size = self.cached(lambda: self._applied(image), image)
        return (filter_dense if self.mode == "full" else filter_depthwise)(x, spectrum, size)

    def _applied(self, image: Size) -> tuple[Tensor, Size]:
        """The spectrum in the layout of its product, (C, *half of size) or (P, I, O), and the size of the transforms."""
        spectrum, size = self.spectrum(image), image
        if self.boundary == "zero":
            taps = F.pad(self._taps(spectrum, image), (0, 1 - image[1] % 2, 0, 1 - image[0] % 2))  # odd, still centred
            size = linear_size(image, pair(taps.shape[-2:]))
            spectrum = kernel_spectrum(taps.flip(-2, -1), size)
        if self.mode == "full":
            spectrum = spectrum.view(self.channels, self.out_channels, -1).permute(2, 0, 1).contiguous()
        return spectrum, size

    def spectrum(self, image: Size) -> Tensor:
        """Half spectrum of every filter on a map of H x W: (C, H, W//2+1), in mode "full" (I * O, H, W//2+1), o fastest.

        Exactly Hermitian in its columns 0 and W/2: the matrix product breaks the symmetry by a rounding here and there.
        """
        (height, width), like = image, self.real.last.weight
        y, x = coordinates(height, height, like), coordinates(width, width // 2 + 1, like)
        if self.coords == "normalized":
            y, x = y * (self.resolution[0] / height), x * (self.resolution[1] / width)
        grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None])).flatten(2)  # (2, 2, P)
        spectrum = torch.complex(self.real.part(grid, 1), self.imag.part(grid, -1))
        return hermitian(spectrum.unflatten(1, (height, width // 2 + 1)), width)

    def _taps(self, spectrum: Tensor, image: Size) -> Tensor:
        """Impulse responses (filters, H, W) with offset 0 at (H//2, W//2)."""
        return irfft2(spectrum, image).roll((image[0] // 2, image[1] // 2), (-2, -1))

    def kernel(self) -> Tensor:
        """Impulse responses on the map built for: (C, H, W), in mode "full" (O, I, H, W); "split" leaves out its 1x1.

        Entry (H//2 + dy, W//2 + dx) is h(dy, dx) of y(p) = sum_d h(d) x(p - d): offsets -floor(H/2)..ceil(H/2)-1.
        """
        taps = self._taps(self.spectrum(self.resolution), self.resolution)
        return taps.unflatten(0, (self.channels, self.out_channels)).transpose(0, 1) if self.mode == "full" else taps

    def flops(self, height: int, width: int) -> Flops:
        filters, size = self.real.last.out_features, (height, width)
        hidden = sum(p.numel() for p in self.real.layers.parameters() if p.ndim == 2)  # run at f and at -f
        kernel = 2 * bins(*size) * (2 * 2 * hidden + 2 * self.real.last.weight.numel())
        if self.boundary == "zero":
            size = linear_size(size, (2 * (height // 2) + 1, 2 * (width // 2) + 1))
            kernel += filters * (rfft2_flops(height, width) + rfft2_flops(*size))
        maps = self.channels + (self.out_channels if self.mode == "full" else self.channels)
        product = (8 if self.mode == "full" else 6) * filters * bins(*size)
        mix = 2 * height * width * sum(p.numel() for p in self.mix.parameters())
        return Flops(kernel, maps * rfft2_flops(*size) + product + mix)

    def load_official(self, state: dict[str, Tensor]) -> None:
        """Weights of the official layers, whose shifts over all axes roll the channels.

        "depthwise": `FreqConv_DW_fftifft`; "split": `Sequential(FreqConv_DW_fft, FreqConv_1x1_ifft)`; "full":
        `FreqConv_full_fftifft`. Raises KeyError for unknown or missing names; ValueError, in mode "full" RuntimeError,
        for another shape.
        """
        weights = Weights(state)
        own = {ours: self._unrolled(ours, weights.take(name)) for name, ours in self._official_names().items()}
        weights.finish()
        assign(self, own)

    def _official_names(self) -> dict[str, str]:
        """Official name -> ours."""
        prefix = "0." if self.mode == "split" else ""
        names = {"1.mlp.weight": "mix.weight"} if self.mode == "split" else {}
        ours = [*(f"layers.{i}" for i in range(len(self.real.layers))), "last"]
        for part in ("real", "imag"):
            for number, layer in enumerate(ours, 1):
                for kind in ("weight", "bias"):
                    names[f"{prefix}mlp_{part}.layer_mpl{number}.{kind}"] = f"{part}.{layer}.{kind}"
        return names

    def _unrolled(self, ours: str, value: Tensor) -> Tensor:
        """Weights in the order of our channels: the official index (c + C//2) mod C holds channel c."""
        into, out = -(self.channels // 2), -(self.out_channels // 2)
        if ours == "mix.weight":
            return value.roll((out, into), (0, 1))[..., None, None]
        if ".last." not in ours:
            return value
        if self.mode == "full":
            return value.unflatten(0, (self.channels, self.out_channels)).roll((into, out), (0, 1)).flatten(0, 1)
        return value.roll(into, 0)
