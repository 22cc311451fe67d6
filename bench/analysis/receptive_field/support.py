"""The theoretical receptive field of a network: the pixels on which the centre pixel of its last map can depend."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from bench.analysis.receptive_field.gradient import mean_abs_gradient
from methods.hooks import set_backend

IMAGES = 2


def support(network: nn.Module, image: tuple[int, int, int]) -> tuple[int, int] | None:
    """Return the size of the smallest rectangle that holds all pixels with non-zero gradient, for images (C, H, W).

    Returns None if that is the whole image. The gradient is that of `positive_copy` for positive noise: no terms cancel and no
    unit is inactive, so a pixel without gradient has no path to the output. Raises what the network raises, and `WrongResult` if
    the gradient still vanishes or overflows.
    """
    noise = torch.rand(IMAGES, *image, dtype=torch.float64, generator=_generator())
    scores, _ = mean_abs_gradient(positive_copy(network), noise)
    height, width = (int(np.ptp(np.flatnonzero(scores.any(axis)))) + 1 for axis in (1, 0))
    return None if (height, width) == image[1:] else (height, width)


def positive_copy(network: nn.Module) -> nn.Module:
    """Return a float64 copy with random positive weights, average instead of max pooling and no capped activations.

    The operators of the registry keep their weights and use the direct form if they have one, because the rounding of a Fourier
    transform makes every pixel non-zero.
    """
    module_copy = copy.deepcopy(network).double()
    _remove_blocking_layers(module_copy)
    for module in module_copy.modules():
        if type(module).__module__.startswith("methods."):
            set_backend(module, "direct")
            continue
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
        for parameter in module.parameters(recurse=False):
            parameter.data.uniform_(0.5, 1.5, generator=_generator()).mul_(len(parameter) / parameter.numel())
    return module_copy


def _remove_blocking_layers(network: nn.Module) -> None:
    """Replace max pooling, which passes a gradient to one pixel only, and caps such as ReLU6, which block it for large values."""
    for name, child in list(network.named_children()):
        if isinstance(child, nn.MaxPool2d):
            setattr(network, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode))
        elif isinstance(child, nn.Hardtanh):
            setattr(network, name, nn.Identity())
        else:
            _remove_blocking_layers(child)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
