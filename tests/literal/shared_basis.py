"""Deeply shared filter bases by the equations of the paper."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.shared_basis import SharedBasisConv


def literal(module: SharedBasisConv, x: Tensor) -> Tensor:
    """Apply two convolutions, concatenation, batch norm and a 1x1 convolution, without folding.

    Differences from ours: unique and shared responses are separate maps (B, u, H, W) and (B, s, H, W) that are concatenated. Ours
    convolves once with the concatenated weights, and a frozen module folds the batch norm into the coefficients.
    """
    unique = F.conv2d(x, module.unique, padding=module.padding)
    shared = F.conv2d(x, module.basis.weight, padding=module.padding)
    return F.conv2d(module.norm(torch.cat([unique, shared], dim=1)), module.coefficients)
