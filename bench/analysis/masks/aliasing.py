"""Frequencies of continuous kernels against what a grid can hold.

A grid of N points over [-1, 1] holds (N - 1) / 4 cycles per unit of position along an axis, its Nyquist frequency. What a kernel
has above it changes with the grid: trained on one resolution, the layer is another at the next (FlexConv,
https://arxiv.org/abs/2110.08059, section 3.3). All frequencies here are in units of that of the layer's own grid.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch

from methods.parts.antialias import filter_frequencies, mask_frequency, nyquist
from methods.parts.continuous import ContinuousConv
from methods.parts.kernel_nets import MultiplicativeFilterNet

OVERSAMPLING = 4  # points of the finer grid for one step of the layer's
MOST = 0.99  # share of the energy that `Content.reach` holds


class Bound(NamedTuple):
    """Frequencies of filters and mask, two standard deviations into each window; see `methods.parts.antialias`.

    Factors of a product add their frequencies: `filters` is the sum over the kernel net's layers.
    """

    filters: float
    mask: float  # 0 without one

    @property
    def kernel(self) -> float:
        return self.filters + self.mask


class Content(NamedTuple):
    """Shares of the energy of all kernels of a layer, by max(|f_y|, |f_x|): (F,) each."""

    frequency: np.ndarray
    share: np.ndarray

    @property
    def above(self) -> float:
        """Share of the energy above the Nyquist frequency."""
        return float(self.share[self.frequency > 1].sum())

    @property
    def reach(self) -> float:
        """Frequency below which 99% of the energy lie."""
        return float(self.frequency[min(int(np.searchsorted(self.share.cumsum(), MOST)), len(self.share) - 1)])


@torch.no_grad()
def bound(layer: ContinuousConv) -> Bound | None:
    """None for a kernel net without filters of known frequency: siren, nsiren, mlp."""
    if not isinstance(layer.net, MultiplicativeFilterNet):
        return None
    most = nyquist(layer.horizon)
    mask = float(mask_frequency(layer.mask)) / most if layer.mask is not None and layer.masked else 0.0
    return Bound(float(filter_frequencies(layer.net).sum()) / most, mask)


@torch.no_grad()
def content(layer: ContinuousConv, oversampling: int = OVERSAMPLING) -> Content:
    """What the kernels hold, measured on a grid that is `oversampling` times as fine.

    Taken are masked kernels on all of [-1, 1], before the crop, whose sharp edge is none of the continuous kernel, times a Hann
    window. Without the window an edge at +-1 of a kernel that is as wide as its grid would count as high frequencies; with it each
    frequency spreads by two steps of 2 / (N - 1) of the Nyquist frequency, and what lies at the border counts little. Frequencies
    above `oversampling` fold back below it: white content reads 1 - 1 / oversampling^2 above Nyquist, not 1.

    All kernels are combinations of the maps m, so their summed energy is m^H (A^T A) m at each frequency.
    """
    steps = oversampling * (layer.horizon - 1)
    fine = copy.copy(layer)
    fine.horizon, fine.crop = steps + 1, False
    window = torch.hann_window(steps, dtype=torch.float64, device=layer.bias.device)
    maps = fine.maps()[:, :-1, :-1].double() * window[:, None] * window
    spectra = torch.fft.fft2(maps).flatten(1)
    matrix = layer.net.matrix().double()
    energy = (((matrix.T @ matrix).to(spectra.dtype) @ spectra) * spectra.conj()).real.sum(0)
    cycles = torch.arange(steps).minimum(steps - torch.arange(steps))  # of each row and column, over the grid's two units
    place = torch.maximum(cycles[:, None], cycles).flatten()
    total = torch.bincount(place, energy.cpu())
    return Content(np.arange(len(total)) / ((layer.horizon - 1) / 2), (total / total.sum()).numpy())
