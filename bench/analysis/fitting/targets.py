"""Target kernels of the fits, and the errors that FlexConv's authors published for them.

Romero, Bruintjes et al., ICLR 2022; code and results: github.com/rjbruin/flexconv, folder ckernel_fitting. Gabor targets are
sin(f y) sin(f x) exp(-(y^2 + x^2) / (2 s^2)) on 33 x 33 points of [-1, 1]^2, f = 1, 4, 16, 64 radians per unit. The width s was not
published: with s = 0.33 the four mean squares agree to four digits with those that the published PSNR imply. At f = 64 the grid
has one sample per 4 radians, so the target is aliased: a wave of similar frequency.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

SIZE = 33
WIDTH = 0.33  # standard deviation of the Gaussian of the Gabor targets
# Mean square of the negative part of the published filter of AlexNet: its fits, clipped to [0, 1], have a PSNR of 22.47 dB.
NEGATIVE_MEAN_SQUARE = 10**-2.2474
PUBLISHED_ZERO = 5e-9  # upper bound of an error published as 0.00000000


def axis() -> Tensor:
    """Return the positions along an axis: (33,), float64."""
    return torch.linspace(-1, 1, SIZE, dtype=torch.float64)


def gabor(frequency: float) -> Tensor:
    """Return sin(f y) sin(f x) times a Gaussian with maximum 1: (33, 33), float64."""
    line = torch.sin(frequency * axis()) * torch.exp(-(axis() ** 2) / (2 * WIDTH**2))
    return line[:, None] * line


def edge() -> Tensor:
    """Return a substitute for a filter of AlexNet's first layer, whose weights are not available: (33, 33), float64.

    11 x 11 taps exp(-r^2 / (2 * 2.5^2)) sin(2 pi u / 6), where u is the offset in pixels along 30 degrees, upsampled bilinearly to
    33 x 33 like the published target, and scaled so that the mean square of its negative part is the published one.
    """
    offset = torch.arange(-5, 6, dtype=torch.float64)
    y, x = offset[:, None], offset
    along = math.cos(math.pi / 6) * x + math.sin(math.pi / 6) * y
    taps = torch.exp(-(x**2 + y**2) / (2 * 2.5**2)) * torch.sin(2 * math.pi * along / 6)
    large = F.interpolate(taps[None, None], (SIZE, SIZE), mode="bilinear")[0, 0]
    return large * math.sqrt(NEGATIVE_MEAN_SQUARE / float(large.clamp(max=0).square().mean()))


def noise() -> Tensor:
    """Return uniform noise on [0, 1]: (33, 33), float64. The published draw differs; its errors imply the same distribution."""
    return torch.rand(SIZE, SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


TARGETS: dict[str, Callable[[], Tensor]] = {
    "gabor1": lambda: gabor(1),
    "gabor4": lambda: gabor(4),
    "gabor16": lambda: gabor(16),
    "gabor64": lambda: gabor(64),
    "edge": edge,
    "noise": noise,
}
# {(net, learning rate): errors in the order of `TARGETS`}; None if none was published
PUBLISHED: dict[tuple[str, float], tuple[float | None, ...]] = {
    ("magnet_small", 0.01): (4.1e-5, 1.5e-3, 1.3e-3, 7.4e-4, 2.1e-6, 5.9e-2),
    ("magnet_big", 0.01): (PUBLISHED_ZERO,) * 6,
    ("siren_small", 0.01): (None, None, None, None, None, 7.9e-2),
    ("siren_big", 0.01): (None, None, None, 7.1e-5, PUBLISHED_ZERO, 1.1e-4),  # the filter of AlexNet: after 3000 steps
    ("siren_big", 0.001): (2e-8, 4e-8, 4e-8, 5e-8, None, None),
}
NJET = (PUBLISHED_ZERO, 1.0e-4, 3.9e-3, 2.0e-2, 3.2e-4, 0.28)  # Gaussian derivatives, best order per target; AlexNet at 11 x 11


def published_error(net: str, lr: float, target: str) -> float | None:
    """Return the published error of a net on a target; None if there is none."""
    return PUBLISHED.get((net, lr), (None,) * len(TARGETS))[list(TARGETS).index(target)]
