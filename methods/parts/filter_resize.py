"""Four modes to apply learned spectra to maps of another size.

A stored filter is a tensor of real pairs (N, H, W//2+1, 2), the half spectrum of N circular filters of H x W pixels. A map of
another size H' x W' needs another spectrum (N, H', W'//2+1):

- "native"        Another size raises ValueError. The published code compares only W//2+1, so it accepts 15 columns for 14.
- "bicubic"       Real and imaginary parts are interpolated with `align_corners=True` (GFNet's fine-tuning, DFFormer's
                  `weight_resize`). The spectrum is neither shifted nor rescaled: rows +u and -u move apart, which changes the shape
                  of the filter and reduces its energy (by a quarter for a random filter at twice the size). The extent in pixels
                  is roughly preserved.
- "pad_kernel"    Preserves the taps: the kernel, centred at H//2, is zero-padded or cropped about its centre. For even H the tap
                  at offset -H/2 stays at -H/2.
- "pad_spectrum"  Preserves the extent relative to the map: the kernel is interpolated without aliasing. The gain at u cycles per
                  map is unchanged; the gain is 0 at frequencies that the stored spectrum lacks. Even sizes: enlarging splits the
                  Nyquist entry over +H/2 and -H/2, shrinking adds up the two entries that coincide.
"""

from __future__ import annotations

from typing import Literal, Self, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.parts.cost import rfft2_flops
from methods.parts.spectral import Size, hermitian, irfft2, pair, rfft2
from methods.registry import Resolution, Unsupported

Resize = Literal["native", "bicubic", "pad_kernel", "pad_spectrum"]


def check_resize(mode: str) -> None:
    """Raise `Unsupported` for an unknown mode."""
    if mode not in get_args(Resize):
        raise Unsupported(f"resize must be one of {', '.join(get_args(Resize))}, not {mode!r}")


def check_size(source: Size, target: Size, mode: Resize) -> None:
    """Raise ValueError if filters of size `source` cannot be applied to maps of size `target`."""
    if mode == "native" and target != source:
        raise ValueError(f"filters of {source[0]}x{source[1]} do not fit a map of {target[0]}x{target[1]}: set the option resize")


class Resizable(nn.Module):
    """A module with a filter of `size` and a `resize` mode, which can be changed after training."""

    size: Size
    resize: Resize

    @property
    def ways(self) -> tuple[str, ...]:
        """Modes available for another map size: the selected one, or all if that is "native"."""
        return get_args(Resize)[1:] if self.resize == "native" else (self.resize,)

    def at_resolution(self, resolution: Resolution, way: str) -> Self:
        """Select the mode for maps of another size than `size`, in place. All modes are the same for maps of `size`."""
        check_resize(way)
        if pair(resolution) != self.size:
            self.resize = cast(Resize, way)
        return self


def filter_spectrum(pairs: Tensor, source: Size, target: Size, mode: Resize) -> Tensor:
    """Return Hermitian half spectra (N, H', W'//2+1) for maps of `target` from stored `pairs` (N, H, W//2+1, 2) of `source`.

    Raises ValueError for another size in mode "native".
    """
    check_size(source, target, mode)
    if mode == "bicubic" and target != source:
        return hermitian(_interpolate(pairs, target), target[1])
    spectrum = hermitian(torch.view_as_complex(pairs), source[1])
    if target == source:
        return spectrum
    return _pad_kernel(spectrum, source, target) if mode == "pad_kernel" else _pad_spectrum(spectrum, source[1], target)


def resize_flops(source: Size, target: Size, mode: Resize) -> int:
    """Return the FLOPs of `filter_spectrum` per filter, which are transforms in mode "pad_kernel", else 0.

    Raises ValueError for another size in mode "native".
    """
    check_size(source, target, mode)
    return rfft2_flops(*source) + rfft2_flops(*target) if mode == "pad_kernel" and target != source else 0


def _interpolate(pairs: Tensor, target: Size) -> Tensor:
    planes = pairs.movedim(-1, 1)  # (N, 2, H, W//2+1)
    planes = F.interpolate(planes, (target[0], target[1] // 2 + 1), mode="bicubic", align_corners=True)
    return torch.complex(planes[:, 0], planes[:, 1])


def _pad_kernel(spectrum: Tensor, source: Size, target: Size) -> Tensor:
    kernel = irfft2(spectrum, source).roll((source[0] // 2, source[1] // 2), (-2, -1))
    before = [t // 2 - s // 2 for s, t in zip(source, target)]
    after = [t - s - b for s, t, b in zip(source, target, before)]
    kernel = F.pad(kernel, (before[1], after[1], before[0], after[0]))  # a negative pad crops
    return rfft2(kernel.roll((-(target[0] // 2), -(target[1] // 2)), (-2, -1)))


def _pad_spectrum(spectrum: Tensor, width: int, target: Size) -> Tensor:
    return hermitian(_pad_columns(_pad_rows(spectrum, target[0]), width, target[1]), target[1])


def _pad_rows(spectrum: Tensor, target: int) -> Tensor:
    """Pad or crop rows 0, 1, ..., -1 in FFT order to `target` rows in the same order."""
    source = spectrum.shape[-2]
    common = min(source, target)
    if target == source:
        return spectrum
    low = spectrum[..., : (common + 1) // 2, :]  # 0 <= u < common/2
    high = spectrum[..., source - (common - 1) // 2 :, :]  # -common/2 < u < 0
    gap = target - low.shape[-2] - high.shape[-2]
    nyquist = spectrum[..., common // 2 : common // 2 + 1, :]
    if common % 2:
        middle = [_zero_rows(spectrum, gap)]
    elif target > source:
        middle = [nyquist / 2, _zero_rows(spectrum, gap - 2), nyquist / 2]
    else:
        middle = [nyquist + spectrum[..., source - common // 2 : source - common // 2 + 1, :]]
    return torch.cat([low, *middle, high], -2)


def _zero_rows(like: Tensor, rows: int) -> Tensor:
    return like.new_zeros(*like.shape[:-2], rows, like.shape[-1])


def _pad_columns(spectrum: Tensor, source: int, target: int) -> Tensor:
    """Pad or crop the columns of a half spectrum of width `source` to width `target`. The caller makes column W'/2 Hermitian."""
    common = min(source, target)
    if target == source:
        return spectrum
    columns = spectrum[..., : common // 2 + 1]
    if common % 2 == 0:
        # shrinking: K(u, W'/2) + conj K(-u, W'/2) is twice the Hermitian part
        edge = columns[..., -1:] * (0.5 if target > source else 2.0)
        columns = torch.cat([columns[..., :-1], edge], -1)
    return F.pad(columns, (0, target // 2 + 1 - columns.shape[-1]))
