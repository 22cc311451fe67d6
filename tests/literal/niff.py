"""NIFF as published: full complex transforms, shifts over all axes, the MLPs in every call."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.niff import Niff
from methods.parts.niff_mlp import FrequencyMLP


def literal(module: Niff, x: Tensor) -> Tensor:
    """Return ifft2(ifftshift(W * fftshift(fft2 x))).real, with W = MLP + i MLP on the shifted grid of all H x W frequencies.

    Differences from ours: both MLPs as 1x1 convolutions on the whole grid in every call (the grid is cached), complex transforms,
    shifts without `dim`, which also roll batch and channels, the 1x1 of "split" on the real and imaginary maps before the inverse
    transform, and the real part at the end. The official order of the channels is restored by copying the weights of the last
    layers. Raises ValueError for options that the published method does not have.
    """
    if (module.boundary, module.coords) != ("circular", "index"):
        raise ValueError("the published method is circular and sees frequency indices")
    grid = _grid(*x.shape[-2:], x.device, x.dtype)
    spectrum = torch.complex(_mlp(module, module.real, grid), _mlp(module, module.imag, grid))
    image = torch.fft.fftshift(torch.fft.fft2(x))
    if module.mode == "full":
        filters = spectrum.view(module.channels, module.out_channels, *x.shape[-2:])
        filtered = torch.einsum("bihw,iohw->bohw", image, filters)
    else:
        filtered = image * spectrum
    if isinstance(module.mix, nn.Conv2d):
        filtered = _mixed(filtered, module.mix.weight)
    return torch.fft.ifft2(torch.fft.ifftshift(filtered)).real


@cache
def _grid(height: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the coordinates (1, 2, H, W), x then y, of the shifted spectrum, usable in training even if cached in inference."""
    with torch.inference_mode(False):
        y = torch.arange(height, device=device, dtype=dtype) - height / 2
        x = torch.arange(width, device=device, dtype=dtype) - width / 2
        return torch.stack((x.expand(height, width), y[:, None].expand(height, width)))[None]


def _mlp(module: Niff, mlp: FrequencyMLP, grid: Tensor) -> Tensor:
    for layer in cast("Iterable[nn.Linear]", mlp.layers):
        grid = F.silu(F.conv2d(grid, layer.weight[:, :, None, None], layer.bias))
    weight, bias = _rolled(module, mlp.last.weight), _rolled(module, mlp.last.bias)
    return F.conv2d(grid, weight[:, :, None, None], bias)


def _rolled(module: Niff, rows: Tensor) -> Tensor:
    """Move channel c to index (c + C//2) mod C, as the shift without `dim` does."""
    into, out = module.channels // 2, module.out_channels // 2
    if module.mode == "full":
        return rows.unflatten(0, (module.channels, module.out_channels)).roll((into, out), (0, 1)).flatten(0, 1)
    return rows.roll(into, 0)


def _mixed(image: Tensor, weight: Tensor) -> Tensor:
    """Apply the bias-free linear layer on the channels to the real and to the imaginary maps."""
    rolled = weight[:, :, 0, 0].roll((weight.shape[0] // 2, weight.shape[1] // 2), (0, 1))
    last = image.permute(0, 2, 3, 1)
    return torch.complex(F.linear(last.real, rolled), F.linear(last.imag, rolled)).permute(0, 3, 1, 2)
