"""The published notebooks' recipe for NIFF, defects included, beside the same kernels measured rightly.

github.com/GeJulia/NIFF, plot_kernel_mass_ratio.ipynb and show_spatial_kernel.ipynb. For the blocks of a stage but its first, the
networks are evaluated on a grid of N x N, the spectrum is transformed as it stands, shifted; the kernels of the stage are stacked.

- The point labelled 2 i + 1 is the mass of |h| in the window [c - i, c + i) of 2 i x 2 i pixels, c = N / 2: not centred, and 0 at
  label 1. A final 1 is appended.
- The shifted spectrum multiplies the kernel by (-1)^(row + column) where N is even, which |h| does not see; where N is odd it moves
  its peak.
- The grids are 56, 56, 28 and 14 for stages whose maps have 56, 28, 14 and 7 pixels: all but the first are probed at twice their
  size, where three quarters of the frequencies were never trained.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.analysis.kernels import operators
from bench.analysis.localisation import measures as measured
from bench.analysis.network import Network
from bench.workload.failures import diagnose
from methods.niff import Niff
from methods.parts.niff_mlp import FrequencyMLP
from methods.parts.spectral import Size

COMPONENTS = 7
STAGE = re.compile(r"(?P<stage>.*?\d+)\D+(?P<block>\d+).*|(?P<alone>\D*)(?P<only>\d+)\D*")


class Curve(NamedTuple):
    """Mean and population standard deviation over kernels by label: (labels,) each."""

    labels: np.ndarray
    mean: np.ndarray
    std: np.ndarray


class Stage(NamedTuple):
    """A stage by the recipe and as it is."""

    name: str
    layers: tuple[str, ...]
    grid: int  # N of the recipe
    size: Size  # of the maps
    recipe: Curve
    centred: Curve
    pca: np.ndarray  # explained-variance ratios by the recipe


class Published(NamedTuple):
    """What the recipe finds in a network and in untrained copies of it, or why it finds nothing."""

    title: str
    stages: list[Stage]
    before: list[list[Stage]]  # a copy each
    status: str = "ok"
    reason: str = ""


def published(one: Network, title: str, seeds: int) -> Published:
    """The stages of a network, and those of copies from seeds 0, 1, ... where it has any; whatever is raised is the status."""
    try:
        now = stages(one.network())
        return Published(title, now, [stages(one.fresh(seed)) for seed in range(seeds)] if now else [])
    except Exception as error:
        return Published(title, [], [], *diagnose(error))


def kernels(module: Niff, n: int) -> Tensor:
    """Real part of the inverse transform of the shifted spectrum on an N x N grid, halves exchanged: (filters, N, N)."""
    axis = torch.arange(n, dtype=torch.float64) - n / 2
    grid = torch.stack((axis.expand(n, n), axis[:, None].expand(n, n)), -1)
    spectrum = torch.complex(_values(module.real, grid), _values(module.imag, grid)).movedim(-1, 0)
    return torch.fft.fftshift(torch.fft.ifft2(spectrum).real, (-2, -1))


def _values(network: FrequencyMLP, grid: Tensor) -> Tensor:
    """(N, N, filters) at the coordinates (N, N, 2)."""
    features = grid
    for layer in network.layers:
        features = F.silu(layer(features))
    return network.last(features)


def curve(stacked: np.ndarray) -> Curve:
    """The notebook's mass ratio of kernels (n, N, N)."""
    size, centre = np.abs(stacked), stacked.shape[-1] // 2
    whole = size.sum((1, 2))
    windows = [size[:, centre - i : centre + i, centre - i : centre + i].sum((1, 2)) / whole for i in range(centre)]
    ratios = np.array([*windows, np.ones(len(stacked))])
    return Curve(np.arange(len(ratios)) * 2 + 1, ratios.mean(1), ratios.std(1))


def centred(stacked: np.ndarray) -> Curve:
    """KMR_1 of kernels (n, Kh, Kw)."""
    ratios = measured.mass(stacked)
    return Curve(measured.windows(stacked.shape), ratios.mean(0), ratios.std(0))


def place(name: str) -> tuple[str, int]:
    """Stage and block of a layer by the first two numbers in its name, or the only one: `layer1.2.conv2` is layer1, 2."""
    match = STAGE.fullmatch(name)
    if match is None:
        return name, 0
    return (match["stage"], int(match["block"])) if match["stage"] else (match["alone"].rstrip("."), int(match["only"]))


@torch.no_grad()
def stages(network: nn.Module) -> list[Stage]:
    """The stages of a network that have NIFF layers, in order; none where it has none. Layers of one stage have maps of one size.

    The first is probed at its size, the others at twice theirs; of a map that is not square the height counts.
    """
    blocks: defaultdict[tuple[str, Size], dict[str, tuple[int, Niff]]] = defaultdict(dict)
    for name, module in operators(network).items():
        if isinstance(module, Niff):
            stage, block = place(name)
            blocks[stage, module.resolution][name] = block, module
    return [_stage(name, _but_first(found), 2 if number else 1) for number, ((name, _), found) in enumerate(blocks.items())]


def _but_first(found: Mapping[str, tuple[int, Niff]]) -> dict[str, Niff]:
    """Later blocks first; the first block too where there is no other."""
    first = min(block for block, _ in found.values())
    later = [(name, module) for name, (block, module) in found.items() if block > first]
    return dict(reversed(later or [(name, module) for name, (_, module) in found.items()]))


def _stage(name: str, found: Mapping[str, Niff], factor: int) -> Stage:
    modules = [module.double() for module in found.values()]
    size = modules[0].resolution
    grid = factor * size[0]
    stacked = np.concatenate([kernels(module, grid).numpy() for module in modules])
    right = np.concatenate([module.kernel().flatten(0, -3).numpy() for module in modules])
    pca = measured.pca(stacked.reshape(len(stacked), -1))[:COMPONENTS]
    return Stage(name, tuple(found), grid, size, curve(stacked), centred(right), pca)
