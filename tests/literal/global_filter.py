"""GFNet's global filter as published: tokens, channels last, orthonormal transforms."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.global_filter import GlobalFilter


def literal(module: GlobalFilter, x: Tensor) -> Tensor:
    """Apply the filter to x (B, C, H, W) of the built size.

    Differences from ours: transforms over the inner axes of (B, H, W, C), each scaled by 1 / sqrt(H W), no explicit symmetry.
    """
    tokens = x.permute(0, 2, 3, 1)  # (B, H, W, C)
    spectrum = torch.fft.rfft2(tokens, dim=(1, 2), norm="ortho")
    weight = torch.view_as_complex(module.weight.permute(1, 2, 0, 3).contiguous())  # (H, W//2+1, C), the published order
    y = torch.fft.irfft2(spectrum * weight, s=tokens.shape[1:3], dim=(1, 2), norm="ortho")
    return y.permute(0, 3, 1, 2)
