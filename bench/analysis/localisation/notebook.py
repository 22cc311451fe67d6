"""The recipe of the published notebooks for NIFF, including its errors, and the correct measures of the same kernels.

github.com/GeJulia/NIFF, plot_kernel_mass_ratio.ipynb and show_spatial_kernel.ipynb. For all blocks of a stage but the first, the
networks are evaluated on a grid of N x N, the spectrum is transformed without removing its shift, and the kernels of the stage are
stacked.

- The point with label 2 i + 1 is the mass of |h| in the window [c - i, c + i) of 2 i x 2 i pixels, c = N / 2: not centred, and 0 at
  label 1. A final 1 is appended.
- For even N the shifted spectrum multiplies the kernel by (-1)^(row + column), which does not change |h|; for odd N it moves the
  peak.
- The grids are 56, 56, 28 and 14 for stages whose maps have 56, 28, 14 and 7 pixels: all but the first are evaluated at twice their
  size, where three quarters of the frequencies were not trained.
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

from bench.analysis.kernels import find_operators
from bench.analysis.localisation import measures
from bench.analysis.network import Network
from bench.workload.failures import diagnose
from methods.niff import Niff
from methods.parts.niff_mlp import FrequencyMLP
from methods.parts.spectral import Size

COMPONENTS = 7
STAGE = re.compile(r"(?P<stage>.*?\d+)\D+(?P<block>\d+).*|(?P<alone>\D*)(?P<only>\d+)\D*")


class MassCurve(NamedTuple):
    """Mean and population standard deviation over kernels per label: (labels,) each."""

    labels: np.ndarray
    mean: np.ndarray
    std: np.ndarray


class Stage(NamedTuple):
    """A stage as measured by the recipe and in centred windows."""

    name: str
    layers: tuple[str, ...]
    grid: int  # N of the recipe
    size: Size  # of the maps
    recipe: MassCurve
    centred: MassCurve
    pca: np.ndarray  # explained-variance ratios by the recipe


class NotebookResult(NamedTuple):
    """The stages of a network and of its untrained copies, or the reason why the recipe failed."""

    title: str
    stages: list[Stage]
    untrained: list[list[Stage]]  # per copy
    status: str = "ok"
    reason: str = ""


def apply_recipe(network: Network, title: str, seeds: int) -> NotebookResult:
    """Measure the stages of a network, and those of copies from seeds 0, 1, ... if it has any. A failure is its status."""
    try:
        stages = measure_stages(network.module())
        copies = [measure_stages(network.untrained_module(seed)) for seed in range(seeds)] if stages else []
        return NotebookResult(title, stages, copies)
    except Exception as error:
        return NotebookResult(title, [], [], *diagnose(error))


def recipe_kernels(module: Niff, n: int) -> Tensor:
    """Return the kernels of the recipe: real part of the inverse transform of the shifted spectrum, shifted: (filters, N, N)."""
    axis = torch.arange(n, dtype=torch.float64) - n / 2
    grid = torch.stack((axis.expand(n, n), axis[:, None].expand(n, n)), -1)
    spectrum = torch.complex(_values(module.real, grid), _values(module.imag, grid)).movedim(-1, 0)
    return torch.fft.fftshift(torch.fft.ifft2(spectrum).real, (-2, -1))


def _values(network: FrequencyMLP, grid: Tensor) -> Tensor:
    """Evaluate a network at the coordinates (N, N, 2): (N, N, filters)."""
    features = grid
    for layer in network.layers:
        features = F.silu(layer(features))
    return network.last(features)


def recipe_mass(stacked: np.ndarray) -> MassCurve:
    """Return the notebook's mass ratio of kernels (n, N, N)."""
    size, centre = np.abs(stacked), stacked.shape[-1] // 2
    whole = size.sum((1, 2))
    windows = [size[:, centre - i : centre + i, centre - i : centre + i].sum((1, 2)) / whole for i in range(centre)]
    ratios = np.array([*windows, np.ones(len(stacked))])
    return MassCurve(np.arange(len(ratios)) * 2 + 1, ratios.mean(1), ratios.std(1))


def centred_mass(stacked: np.ndarray) -> MassCurve:
    """Return KMR_1 of kernels (n, Kh, Kw)."""
    ratios = measures.mass_ratios(stacked)
    return MassCurve(measures.windows(stacked.shape), ratios.mean(0), ratios.std(0))


def stage_and_block(name: str) -> tuple[str, int]:
    """Split a layer's name at its first two numbers, or its only one: `layer1.2.conv2` is stage layer1, block 2."""
    match = STAGE.fullmatch(name)
    if match is None:
        return name, 0
    return (match["stage"], int(match["block"])) if match["stage"] else (match["alone"].rstrip("."), int(match["only"]))


@torch.no_grad()
def measure_stages(network: nn.Module) -> list[Stage]:
    """Measure the stages of a network that have NIFF layers, in order. The layers of a stage have maps of the same size.

    The first stage is evaluated at its map size, the others at twice theirs. If a map is not square, its height is used.
    """
    blocks: defaultdict[tuple[str, Size], dict[str, tuple[int, Niff]]] = defaultdict(dict)
    for name, module in find_operators(network).items():
        if isinstance(module, Niff):
            stage, block = stage_and_block(name)
            blocks[stage, module.resolution][name] = block, module
    return [
        _measure_stage(name, _without_first_block(layers), 2 if number else 1)
        for number, ((name, _), layers) in enumerate(blocks.items())
    ]


def _without_first_block(layers: Mapping[str, tuple[int, Niff]]) -> dict[str, Niff]:
    """Return the layers of all blocks but the first, or those of the only block, in reverse order."""
    first = min(block for block, _ in layers.values())
    later = [(name, module) for name, (block, module) in layers.items() if block > first]
    return dict(reversed(later or [(name, module) for name, (_, module) in layers.items()]))


def _measure_stage(name: str, layers: Mapping[str, Niff], factor: int) -> Stage:
    modules = [module.double() for module in layers.values()]
    size = modules[0].resolution
    grid = factor * size[0]
    stacked = np.concatenate([recipe_kernels(module, grid).numpy() for module in modules])
    true_kernels = np.concatenate([module.kernel().flatten(0, -3).numpy() for module in modules])
    pca = measures.pca(stacked.reshape(len(stacked), -1))[:COMPONENTS]
    return Stage(name, tuple(layers), grid, size, recipe_mass(stacked), centred_mass(true_kernels), pca)
