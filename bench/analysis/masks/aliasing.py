"""Frequencies of continuous kernels relative to the Nyquist frequency of their grid.

A grid of N points over [-1, 1] represents up to (N - 1) / 4 cycles per unit of position along an axis, its Nyquist frequency. The
part of a kernel above it depends on the grid: a layer trained at one resolution is a different layer at another (FlexConv,
https://arxiv.org/abs/2110.08059, section 3.3). All frequencies here are in units of the Nyquist frequency of the layer's own grid.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch

from methods.parts.antialias import filter_frequencies, mask_frequency, nyquist
from methods.parts.continuous import ContinuousConv
from methods.parts.kernel_nets import MultiplicativeFilterNet

OVERSAMPLING = 4  # points of the fine grid per step of the layer's grid
ENERGY_SHARE = 0.99  # share of the energy below `Spectrum.frequency_99`


class Bound(NamedTuple):
    """Frequency bounds of filters and mask, two standard deviations into each window; see `methods.parts.antialias`.

    The frequencies of the factors of a product add up: `filters` is the sum over the layers of the kernel network.
    """

    filters: float
    mask: float  # 0 without a mask

    @property
    def kernel(self) -> float:
        return self.filters + self.mask


class Spectrum(NamedTuple):
    """Shares of the energy of all kernels of a layer, by max(|f_y|, |f_x|): (F,) each."""

    frequency: np.ndarray
    share: np.ndarray

    @property
    def above(self) -> float:
        """Share of the energy above the Nyquist frequency."""
        return float(self.share[self.frequency > 1].sum())

    @property
    def frequency_99(self) -> float:
        """Frequency below which 99% of the energy lies."""
        return float(self.frequency[min(int(np.searchsorted(self.share.cumsum(), ENERGY_SHARE)), len(self.share) - 1)])


@torch.no_grad()
def frequency_bound(layer: ContinuousConv) -> Bound | None:
    """Return the frequency bound of a layer; None for kernel networks without filters of known frequency (siren, nsiren, mlp)."""
    if not isinstance(layer.net, MultiplicativeFilterNet):
        return None
    limit = nyquist(layer.horizon)
    mask = float(mask_frequency(layer.mask)) / limit if layer.mask is not None and layer.masked else 0.0
    return Bound(float(filter_frequencies(layer.net).sum()) / limit, mask)


@torch.no_grad()
def energy_spectrum(layer: ContinuousConv, oversampling: int = OVERSAMPLING) -> Spectrum:
    """Measure the energy of the kernels by frequency, on a grid that is `oversampling` times as fine as the layer's.

    The kernels are masked, on all of [-1, 1], before the crop (its sharp edge is not part of the continuous kernel), and multiplied
    by a Hann window. Without the window, the discontinuity at +-1 of a kernel as wide as its grid would count as high frequencies.
    The window spreads each frequency by two steps of 2 / (N - 1) of the Nyquist frequency and reduces the weight of the border.
    Frequencies above `oversampling` alias to below it: a white spectrum has a share of 1 - 1 / oversampling^2 above Nyquist, not 1.

    All kernels are linear combinations of the maps m, so their summed energy is m^H (A^T A) m at each frequency.
    """
    steps = oversampling * (layer.horizon - 1)
    fine = copy.copy(layer)
    fine.horizon, fine.crop = steps + 1, False
    window = torch.hann_window(steps, dtype=torch.float64, device=layer.bias.device)
    maps = fine.maps()[:, :-1, :-1].double() * window[:, None] * window
    spectra = torch.fft.fft2(maps).flatten(1)
    matrix = layer.net.matrix().double()
    energy = (((matrix.T @ matrix).to(spectra.dtype) @ spectra) * spectra.conj()).real.sum(0)
    cycles = torch.arange(steps).minimum(steps - torch.arange(steps))  # per row and column, over the grid's two units
    index = torch.maximum(cycles[:, None], cycles).flatten()
    total = torch.bincount(index, energy.cpu())
    return Spectrum(np.arange(len(total)) / ((layer.horizon - 1) / 2), (total / total.sum()).numpy())
