"""The kernel networks to fit: modules whose forward pass returns a kernel of 33 x 33 values.

"small" has about 300 parameters, fewer than the 1089 values; "big" is FlexConv's own network (32 features, 3 layers) or one with
about as many parameters. The published sizes are unknown; the errors of our small MAGNet are close to the published ones. Filter
networks are initialised with the frequency scale of the published fits, 256, and with windows anywhere on the grid; SIREN
with omega_0 = 30. NIFF's networks have the sizes of `niff` and `niff_big`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench.analysis.fitting.targets import SIZE, axis
from methods.niff import Niff
from methods.parts.kernel_nets import KernelNetConfig, make_kernel_net

OMEGA = 256.0


class Continuous(nn.Module):
    """A kernel network that maps positions on the grid over [-1, 1]^2 to values."""

    def __init__(self, kind: str, hidden: int, omega: float | None = None):
        super().__init__()
        self.net = make_kernel_net(KernelNetConfig(kind, hidden, 3, omega), 1)

    def forward(self) -> Tensor:
        return self.net(axis(), axis())[0]


class Spectral(nn.Module):
    """NIFF's networks, which map frequencies to a spectrum. The kernel is its inverse transform, with offset 0 at the centre."""

    def __init__(self, hidden: tuple[int, ...]):
        super().__init__()
        self.niff = Niff(1, SIZE, hidden)

    def forward(self) -> Tensor:
        # torch's own inverse transform, because it supports vmap over networks
        taps = torch.fft.irfft2(self.niff.spectrum((SIZE, SIZE)), s=(SIZE, SIZE))[0]
        return taps.roll((SIZE // 2, SIZE // 2), (0, 1))


class Free(nn.Module):
    """One parameter per value, initialised like a depthwise convolution."""

    def __init__(self) -> None:
        super().__init__()
        bound = 1 / math.sqrt(SIZE * SIZE)
        self.weight = nn.Parameter(torch.empty(SIZE, SIZE).uniform_(-bound, bound))

    def forward(self) -> Tensor:
        return self.weight


class Net(NamedTuple):
    """A constructor of a net, the learning rates of its fits, and the style of its lines."""

    make: Callable[[], nn.Module]
    rates: tuple[float, ...] = (0.01,)
    family: str = ""  # family of methods in whose colour it is drawn
    small: bool = False


NETS: dict[str, Net] = {
    "magnet_small": Net(lambda: Continuous("magnet", 6, OMEGA), family="flexconv", small=True),
    "magnet_big": Net(lambda: Continuous("magnet", 32, OMEGA), family="flexconv"),
    "gabor_small": Net(lambda: Continuous("gabor", 6, OMEGA), family="afno", small=True),
    "gabor_big": Net(lambda: Continuous("gabor", 32, OMEGA), family="afno"),
    "fourier_small": Net(lambda: Continuous("fourier", 8, OMEGA), family="global_filter", small=True),
    "fourier_big": Net(lambda: Continuous("fourier", 32, OMEGA), family="global_filter"),
    "siren_small": Net(lambda: Continuous("siren", 16), (0.01, 0.001), family="shared_basis", small=True),
    "siren_big": Net(lambda: Continuous("siren", 64), (0.01, 0.001), family="shared_basis"),
    "niff_small": Net(lambda: Spectral((8, 4)), family="niff", small=True),
    "niff_big": Net(lambda: Spectral((16, 128, 32)), family="niff"),
    "weights": Net(Free, family="dwconv"),
}
