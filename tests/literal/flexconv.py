"""FlexConv as published: every call evaluates the kernel network at all grid points, all kernels, and one convolution."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.flexconv import DepthwiseFlexConv, FlexConv
from methods.parts.kernel_nets import MultiplicativeFilterNet

FFT_ABOVE = 50  # both sides of the kernel; the published threshold of `use_fft`


def _features(net: MultiplicativeFilterNet, grid: Tensor) -> Tensor:
    """Evaluate the Gabor recursion on (1, 2, Kh, Kw) positions by 1x1 convolutions: (1, hidden, Kh, Kw)."""

    def gabor(i: int) -> Tensor:
        sine = torch.sin(F.conv2d(grid, net.frequency[i, :, :, None, None], net.phase[i]))
        distance = net.gamma[i, :, :, None, None] * (grid - net.mu[i, :, :, None, None])
        return torch.exp(-0.5 * (distance**2).sum(1)) * sine

    h = gabor(0)
    for i, (weight, bias) in enumerate(zip(net.mix_weight, net.mix_bias)):
        h = gabor(i + 1) * F.conv2d(h, weight[:, :, None, None], bias)
    return h


def _kernels(module: FlexConv | DepthwiseFlexConv, dtype: torch.dtype) -> Tensor:
    """Compute grid, crop (reading the mask from the device in each call), kernel network and mask: (outputs, Kh, Kw)."""
    axes = []
    for mean, sigma in zip(module.mask.mean, module.mask.sigma):
        axis = torch.linspace(-1, 1, module.horizon, dtype=dtype)
        root = (mean.abs() + sigma.abs() * math.sqrt(-2 * math.log(module.mask.threshold))).item()
        least = (module.mask.min_half_width + 0.5) * 2 / (module.horizon - 1)
        axes.append(axis if root >= 1 else axis[(axis.abs() < max(root, least)).nonzero()[:, 0]])
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]
    net, mask = module.net, module.mask
    values = F.conv2d(_features(net, grid), net.out_weight[:, :, None, None], net.out_bias)[0]
    distance = (grid[0] - mask.mean[:, None, None]) ** 2 / (mask.sigma[:, None, None] ** 2 + mask.epsilon)
    return module.scale * values * torch.exp(-0.5 * distance).prod(0)


def _by_transform(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Pad both operands to H + K - 1 and an even width, not to fast lengths, and multiply by einsum with conj(kernel)."""
    height, width = x.shape[-2:]
    kh, kw = kernel.shape[-2:]
    x = F.pad(x, (kw // 2, kw // 2 + width % 2, kh // 2, kh // 2))
    kernel = F.pad(kernel, (0, x.shape[-1] - kw, 0, x.shape[-2] - kh))
    spectrum = torch.einsum("bihw,oihw->bohw", torch.fft.rfftn(x, dim=(-2, -1)), torch.fft.rfftn(kernel, dim=(-2, -1)).conj())
    y = torch.fft.irfftn(spectrum, dim=(-2, -1), s=tuple(x.shape[-2:]))
    return y[..., :height, :width] + bias[:, None, None]


def literal(module: FlexConv | DepthwiseFlexConv, x: Tensor) -> Tensor:
    """Run the published forward pass of a layer with a MAGNet or Gabor kernel network and a mask.

    Differences from ours: exponentials and sines at every grid point, the crop from tensors, all C_out * C_in spatial kernels, then
    conv2d or, above `FFT_ABOVE`, the published transform (each side padded by its own length; the published code pads both by the
    width). The depthwise layer has no transform. Kernels larger than the map are not cropped.
    """
    kernels = _kernels(module, x.dtype)
    kh, kw = kernels.shape[-2:]
    padding = (kh // 2, kw // 2)
    if isinstance(module, DepthwiseFlexConv):
        return module.pointwise(F.conv2d(x, kernels[:, None], module.bias, padding=padding, groups=x.shape[1]))
    kernel = kernels.view(len(module.bias), -1, kh, kw)
    if min(kh, kw) > FFT_ABOVE:
        return _by_transform(x, kernel, module.bias)
    return F.conv2d(x, kernel, module.bias, padding=padding)
