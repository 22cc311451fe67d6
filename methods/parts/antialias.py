"""The penalty that keeps a continuous kernel below the Nyquist frequency of its grid (FlexConv).

Frequencies are in cycles per unit of position; a grid of N points over [-1, 1] resolves (N - 1) / 4 of them. A Gabor filter of
layer l reaches f_l = max |W_l| / 2 pi + s max |gamma_l| / 2 pi, s standard deviations into the spectrum of its window. The two
maxima are taken apart, as the published code does.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.parts.gaussian_mask import GaussianMask
from methods.parts.kernel_nets import MultiplicativeFilterNet

Target = Literal["gabor", "gabor+mask"]


def nyquist(horizon: int) -> float:
    """Highest frequency that a grid of `horizon` points over [-1, 1] holds."""
    return (horizon - 1) / 4


def filter_frequencies(net: MultiplicativeFilterNet, deviations: float = 2.0) -> Tensor:
    """f_l of every filter layer: (layers + 1,)."""
    top = net.frequency.abs().amax((1, 2))
    if net.kind != "fourier":
        top = top + deviations * net.gamma.abs().amax((1, 2))
    return top / (2 * math.pi)


def mask_frequency(mask: GaussianMask, deviations: float = 2.0) -> Tensor:
    """Frequency that the narrower axis of the mask reaches, a scalar."""
    return deviations / mask.sigma.abs().amin() / (2 * math.pi)


def squared_excess(x: Tensor) -> Tensor:
    return F.relu(x) ** 2


def offset_elu(x: Tensor) -> Tensor:
    """5 (elu(x - 4) + 1)"""
    return 5 * (F.elu(x - 4) + 1)


def alias_penalty(
    net: MultiplicativeFilterNet,
    mask: GaussianMask | None,
    horizon: int,
    target: Target = "gabor",
    method: Literal["together", "summed"] = "together",
    function: Literal["l2_relu", "offset_elu"] = "l2_relu",
    deviations: float = 2.0,
) -> Tensor:
    """Scalar penalty of one layer.

    Filters multiply, so their frequencies add. "together" gives each of the L + 1 filters an equal share of the Nyquist frequency
    (and of the mask's, with target "gabor+mask") and sums the penalties; "summed" penalises the sum once.
    """
    frequencies = filter_frequencies(net, deviations)
    shares = len(frequencies)
    excess = frequencies - nyquist(horizon) / shares
    if target == "gabor+mask" and mask is not None:
        excess = excess + mask_frequency(mask, deviations) / shares
    if method == "summed":
        excess = excess.sum()
    penalise = squared_excess if function == "l2_relu" else offset_elu
    return torch.sum(penalise(excess))
