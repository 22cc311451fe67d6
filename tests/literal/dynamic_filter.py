"""DFFormer's dynamic filter as published: channels last, one complex filter per image and channel, orthonormal transforms."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.dynamic_filter import DynamicFilter
from methods.parts.filter_resize import check_size


def literal(module: DynamicFilter, x: Tensor) -> Tensor:
    """Apply the mixer to x (B, C, H, W), in the published order of operations; `resize` "native" or "bicubic".

    Differences from ours: linear layers and transforms over the inner axes of (B, H, W, C), routing cast to complex before mixing,
    no explicit Hermitian symmetry, inverse transform of all M hidden channels, W_2 last. Bicubic filters are resized in every call.
    """
    x = x.permute(0, 2, 3, 1)  # (B, H, W, C)
    shape = x.shape[1:3]
    weights = module.router(x.mean((1, 2))).view(len(x), len(module.basis), -1).softmax(1)  # (B, N, M)
    spectrum = torch.fft.rfft2(module.act(F.linear(x, module.expand)), dim=(1, 2), norm="ortho")
    filters = torch.einsum("bfm,hwf->bhwm", weights.to(spectrum.dtype), _basis(module, (shape[0], shape[1])))
    y = torch.fft.irfft2(spectrum * filters, s=shape, dim=(1, 2), norm="ortho")
    return F.linear(y, module.project).permute(0, 3, 1, 2)


def _basis(module: DynamicFilter, size: tuple[int, int]) -> Tensor:
    """Return the complex spectra (H, W//2+1, N), interpolated as an image of 2 N planes if the size differs."""
    pairs = module.basis.permute(1, 2, 0, 3).contiguous()  # (H, W//2+1, N, 2), the published order
    if size != module.size:
        check_size(module.size, size, module.resize)
        planes = pairs.flatten(2).permute(2, 0, 1)[None]
        planes = F.interpolate(planes, (size[0], size[1] // 2 + 1), mode="bicubic", align_corners=True)
        pairs = planes[0].permute(1, 2, 0).unflatten(2, pairs.shape[2:]).contiguous()
    return torch.view_as_complex(pairs)
