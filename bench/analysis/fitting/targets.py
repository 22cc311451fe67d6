"""What kernel networks are fitted to, and the errors that FlexConv's authors published for it.

Romero, Bruintjes et al., ICLR 2022; code and results: github.com/rjbruin/flexconv, folder ckernel_fitting. Gabor targets are
sin(f y) sin(f x) exp(-(y^2 + x^2) / (2 s^2)) on 33 x 33 points of [-1, 1]^2, f = 1, 4, 16, 64 radians a unit. s = 0.33 was not
published: it is the width whose four mean squares are, to four digits, those that the published PSNR imply. At f = 64 the grid
takes a sample every 4 radians: it shows an alias, an equally rapid wave.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

SIZE = 33
SPREAD = 0.33
# Mean square of what is negative in the published filter of AlexNet: its fits, cut to [0, 1], have a PSNR of 22.47 dB.
NEGATIVE = 10**-2.2474
BOUND = 5e-9  # stands for an error published as 0.00000000


def axis() -> Tensor:
    """Positions along an axis: (33,), float64."""
    return torch.linspace(-1, 1, SIZE, dtype=torch.float64)


def gabor(frequency: float) -> Tensor:
    """sin(f y) sin(f x) times a Gaussian of peak 1: (33, 33), float64."""
    line = torch.sin(frequency * axis()) * torch.exp(-(axis() ** 2) / (2 * SPREAD**2))
    return line[:, None] * line


def edge() -> Tensor:
    """Ours in place of a filter of AlexNet's first layer, whose weights are not at hand: (33, 33), float64.

    11 x 11 taps exp(-r^2 / (2 * 2.5^2)) sin(2 pi u / 6), u the offset in pixels along 30 degrees, enlarged bilinearly to 33 x 33
    as the published one is, and scaled so that its negative part has the mean square of the published one's.
    """
    offset = torch.arange(-5, 6, dtype=torch.float64)
    y, x = offset[:, None], offset
    along = math.cos(math.pi / 6) * x + math.sin(math.pi / 6) * y
    taps = torch.exp(-(x**2 + y**2) / (2 * 2.5**2)) * torch.sin(2 * math.pi * along / 6)
    large = F.interpolate(taps[None, None], (SIZE, SIZE), mode="bilinear")[0, 0]
    return large * math.sqrt(NEGATIVE / float(large.clamp(max=0).square().mean()))


def noise() -> Tensor:
    """Uniform on [0, 1]: (33, 33), float64. The published draw is another, of the same distribution as its errors tell."""
    return torch.rand(SIZE, SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


TARGETS: dict[str, Callable[[], Tensor]] = {
    "gabor1": lambda: gabor(1),
    "gabor4": lambda: gabor(4),
    "gabor16": lambda: gabor(16),
    "gabor64": lambda: gabor(64),
    "edge": edge,
    "noise": noise,
}
# {(net, learning rate): errors in the order of `TARGETS`}; None where none was published
PUBLISHED: dict[tuple[str, float], tuple[float | None, ...]] = {
    ("magnet_small", 0.01): (4.1e-5, 1.5e-3, 1.3e-3, 7.4e-4, 2.1e-6, 5.9e-2),
    ("magnet_big", 0.01): (BOUND,) * 6,
    ("siren_small", 0.01): (None, None, None, None, None, 7.9e-2),
    ("siren_big", 0.01): (None, None, None, 7.1e-5, BOUND, 1.1e-4),  # the filter of AlexNet: after 3000 steps
    ("siren_big", 0.001): (2e-8, 4e-8, 4e-8, 5e-8, None, None),
}
NJET = (BOUND, 1.0e-4, 3.9e-3, 2.0e-2, 3.2e-4, 0.28)  # Gaussian derivatives, the best order each; the filter at 11 x 11


def published(net: str, lr: float, target: str) -> float | None:
    """The published error of a net on a target, None where there is none."""
    return PUBLISHED.get((net, lr), (None,) * len(TARGETS))[list(TARGETS).index(target)]
