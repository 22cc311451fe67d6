"""Penalty on frequencies of a continuous kernel above the Nyquist frequency of its grid (FlexConv).

Frequencies are in cycles per unit of position. The Nyquist frequency of a grid of N points over [-1, 1] is (N - 1) / 4. The highest
frequency of a Gabor filter of layer l is f_l = max |W_l| / 2 pi + s max |gamma_l| / 2 pi, at s standard deviations of the spectrum
of its window. The two maxima are independent, as in the published code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.parts.gaussian_mask import GaussianMask
from methods.parts.kernel_nets import MultiplicativeFilterNet

Target = Literal["gabor", "gabor+mask"]


def nyquist(horizon: int) -> float:
    """Return the Nyquist frequency of a grid of `horizon` points over [-1, 1]."""
    return (horizon - 1) / 4


def filter_frequencies(net: MultiplicativeFilterNet, deviations: float = 2.0) -> Tensor:
    """Return the highest frequency f_l of every filter layer: (layers + 1,)."""
    highest = net.frequency.abs().amax((1, 2))
    if net.kind != "fourier":
        highest = highest + deviations * net.gamma.abs().amax((1, 2))
    return highest / (2 * math.pi)


def mask_frequency(mask: GaussianMask, deviations: float = 2.0) -> Tensor:
    """Return the highest frequency of the mask along its narrower axis, a scalar."""
    return deviations / mask.sigma.abs().amin() / (2 * math.pi)


def squared_excess(x: Tensor) -> Tensor:
    return F.relu(x) ** 2


def offset_elu(x: Tensor) -> Tensor:
    """Return 5 (elu(x - 4) + 1)."""
    return 5 * (F.elu(x - 4) + 1)


@dataclass(frozen=True)
class PenaltyForm:
    """Form of the penalty.

    The filters are multiplied, so their frequencies add up. `method` "together" assigns each of the L + 1 filters an equal share of
    the Nyquist frequency (and of the frequency of the mask, with target "gabor+mask") and sums the penalties. "summed" penalises
    the sum of the frequencies. `deviations` is s.
    """

    target: Target = "gabor"
    method: Literal["together", "summed"] = "together"
    function: Literal["l2_relu", "offset_elu"] = "l2_relu"
    deviations: float = 2.0


def alias_penalty(net: MultiplicativeFilterNet, mask: GaussianMask | None, horizon: int, form: PenaltyForm) -> Tensor:
    """Return the penalty of one layer, a scalar."""
    frequencies = filter_frequencies(net, form.deviations)
    shares = len(frequencies)
    excess = frequencies - nyquist(horizon) / shares
    if form.target == "gabor+mask" and mask is not None:
        excess = excess + mask_frequency(mask, form.deviations) / shares
    if form.method == "summed":
        excess = excess.sum()
    penalise = squared_excess if form.function == "l2_relu" else offset_elu
    return torch.sum(penalise(excess))
