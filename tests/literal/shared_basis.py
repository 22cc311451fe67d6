"""Deeply shared filter bases, written as the paper's equations read."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.shared_basis import SharedBasisConv


def literal(module: SharedBasisConv, x: Tensor) -> Tensor:
    """Two convolutions over the same map, their responses concatenated, batch norm, 1x1 convolution; nothing is ever folded.

    The literal part: unique and shared responses are separate maps (B, u, H, W) and (B, s, H, W) that are copied together, where
    ours filters once with the concatenated weights and a frozen module takes the batch norm into the coefficients.
    """
    unique = F.conv2d(x, module.unique, padding=module.padding)
    shared = F.conv2d(x, module.basis.weight, padding=module.padding)
    return F.conv2d(module.norm(torch.cat([unique, shared], dim=1)), module.coefficients)
