"""The theoretical receptive field of a network: the pixels that the middle of its last map can depend on at all."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from bench.analysis.receptive_field.gradient import contributions

IMAGES = 2


def support(network: nn.Module, image: tuple[int, int, int]) -> tuple[int, int] | None:
    """Rows and columns of the smallest rectangle with all pixels of non-zero gradient, for images (C, H, W); None for all.

    Taken of a copy in float64 whose plain layers have random positive weights, whose maxima are means and which has no caps, on
    positive noise: nothing cancels and no unit is silent, so a pixel without gradient has no path to the output. Our operators
    keep their weights, in the direct form where they have one: a transform leaves rounding everywhere. Raises what the network
    raises, and `WrongResult` where the gradient vanishes or overflows all the same.
    """
    found, _ = contributions(positive(network), torch.rand(IMAGES, *image, dtype=torch.float64, generator=_draw()))
    height, width = (int(np.ptp(np.flatnonzero(found.any(axis)))) + 1 for axis in (1, 0))
    return None if (height, width) == image[1:] else (height, width)


def positive(network: nn.Module) -> nn.Module:
    """That copy."""
    made = copy.deepcopy(network).double()
    _open(made)
    for module in made.modules():
        if type(module).__module__.startswith("methods."):
            if hasattr(module, "backend"):
                module.backend = "direct"  # type: ignore[assignment]
            continue
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
        for parameter in module.parameters(recurse=False):
            parameter.data.uniform_(0.5, 1.5, generator=_draw()).mul_(len(parameter) / parameter.numel())
    return made


def _open(network: nn.Module) -> None:
    """Means in the place of maxima, which pass a gradient to one pixel only; no caps, such as ReLU6, which stop large values'."""
    for name, child in list(network.named_children()):
        if isinstance(child, nn.MaxPool2d):
            setattr(network, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode))
        elif isinstance(child, nn.Hardtanh):
            setattr(network, name, nn.Identity())
        else:
            _open(child)


def _draw() -> torch.Generator:
    return torch.Generator().manual_seed(0)
