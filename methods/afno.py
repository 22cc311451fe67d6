"""Adaptive Fourier neural operator: a small complex network, applied to every frequency with the same weights.

Guibas et al., "Efficient Token Mixing for Transformers via Adaptive Fourier Neural Operators", ICLR 2022,
https://arxiv.org/abs/2111.13587. The channels of X = rfft2(x) / sqrt(H W) are divided into blocks of d = C / blocks. In each block

    Z = W_2 relu(W_1 X + b_1) + b_2,    y = irfft2(shrink(Z)) * sqrt(H W) + x

with complex d x d matrices and biases. relu and the soft threshold `shrink` act on the real and imaginary parts separately. The
operator accepts maps of any size.

Differences from the published code (the first three are equal up to rounding):
- Maps are (B, C, H, W) instead of tokens (B, H * W, C).
- The factors sqrt(H W) are merged into W_1, W_2, b_2 and the threshold, which saves two passes over the spectrum.
- The non-linear network does not preserve Hermitian symmetry. The spectrum is made Hermitian explicitly; the published code leaves
  this to the inverse transform. See `spectral.hermitian`.
- `fraction` retains floor(fraction * (W//2+1)) columns. Published: floor(fraction * (H*W//2+1)), which at 14 x 14 retains all 8
  columns for every fraction from 0.09 on. The published 0.05 retains floor(0.05 * 99) = 4 columns, which is our 0.5.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.parts.cost import Flops, rfft2_flops
from methods.parts.spectral import full_precision, hermitian, irfft2, pair, rfft2
from methods.registry import Resolution, Unsupported, register


@register("afno", paper="https://arxiv.org/abs/2111.13587")
class AFNO(nn.Module):
    """AFNO: a two-layer complex network on the spectrum, block-diagonal over channels, plus the input.

    `sparsity` is the soft threshold on the spectrum, in units of the orthonormal transform. `fraction` is the share of columns that
    is retained, lowest frequencies first; the others are set to 0. Raises `Unsupported` if blocks do not divide C or no column is
    retained.
    """

    mixes_channels = True

    def __init__(
        self,
        channels: int,
        resolution: Resolution,
        blocks: int = 8,
        sparsity: float = 0.01,
        fraction: float = 1.0,
    ):
        super().__init__()
        if blocks < 1 or channels % blocks:
            raise Unsupported(f"{blocks} blocks do not divide {channels} channels")
        if not 0 < fraction <= 1 or self._columns(pair(resolution)[1], fraction) == 0:
            raise Unsupported(f"fraction {fraction} selects no column, or too many, of a map {pair(resolution)[1]} pixels wide")
        self.sparsity, self.fraction = sparsity, fraction
        width = channels // blocks
        self.w1 = nn.Parameter(torch.empty(2, blocks, width, width))  # (real and imaginary, block, in, out)
        self.b1 = nn.Parameter(torch.empty(2, blocks, width))
        self.w2 = nn.Parameter(torch.empty(2, blocks, width, width))
        self.b2 = nn.Parameter(torch.empty(2, blocks, width))
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.02)

    @staticmethod
    def _columns(width: int, fraction: float) -> int:
        return int((width // 2 + 1) * fraction)

    @full_precision
    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        columns = self._columns(width, self.fraction)
        dropped = width // 2 + 1 - columns
        mixed = self._mixed(rfft2(x)[..., :columns], math.sqrt(height * width))
        mixed = F.pad(mixed, (0, dropped)) if dropped else mixed  # a pad by 0 would copy
        return irfft2(hermitian(mixed, width), (height, width)) + x

    def _mixed(self, spectrum: Tensor, scale: float) -> Tensor:
        """Return sqrt(H W) * shrink(Z) for a spectrum sqrt(H W) * X (B, C, H, columns)."""
        blocks = spectrum.unflatten(1, self.w1.shape[1:3]).flatten(3)  # (B, blocks, d, H * columns)
        hidden = self._layer(self.w1 / scale, self.b1, blocks)
        hidden = torch.view_as_complex(F.relu(torch.view_as_real(hidden)))
        output = self._layer(self.w2 * scale, self.b2 * scale, hidden)
        shrunk = torch.view_as_complex(F.softshrink(torch.view_as_real(output), self.sparsity * scale))
        return shrunk.view(spectrum.shape)

    @staticmethod
    def _layer(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
        """Apply a complex block-diagonal layer to x (B, blocks, d, P)."""
        return (torch.complex(*weight).mT @ x).add_(torch.complex(*bias)[..., None])

    def flops(self, height: int, width: int) -> Flops:
        channels = self.b1[0].numel()
        points = height * self._columns(width, self.fraction)
        layers = 2 * 8 * channels * self.w1.shape[-1] * points
        return Flops(0, 2 * channels * rfft2_flops(height, width) + layers)

    def load_official(self, state: dict[str, Tensor]) -> None:
        """Load weights of the published `AFNO2D`: `w1`, `w2` (2, blocks, d, d) and `b1`, `b2` (2, blocks, d).

        Raises KeyError for a missing or unknown name.
        """
        if state.keys() != self.state_dict().keys():
            raise KeyError(f"the weights of AFNO are b1, b2, w1 and w2, not {sorted(state)}")
        self.load_state_dict(state)
