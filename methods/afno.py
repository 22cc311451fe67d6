"""Adaptive Fourier neural operator: a small complex network at every frequency, the same weights for all.

Guibas et al., "Efficient Token Mixing for Transformers via Adaptive Fourier Neural Operators", ICLR 2022,
https://arxiv.org/abs/2111.13587. The channels of X = rfft2(x) / sqrt(H W) fall into blocks of d = C / blocks; in each block

    Z = W_2 relu(W_1 X + b_1) + b_2,    y = irfft2(shrink(Z)) * sqrt(H W) + x

with complex d x d matrices and biases. relu and the soft threshold `shrink` act on real and imaginary part separately. The operator
works on maps of any size.

How ours differs from the published code, equal to rounding:
- maps (B, C, H, W) instead of tokens (B, H * W, C);
- the factors sqrt(H W) go into W_1, W_2, b_2 and the threshold, which spares two passes over the spectrum;
- the spectrum of a non-linear map is not that of a real image: it is made Hermitian, which the published code leaves to the inverse
  transform; see `spectral.hermitian`;
- `fraction` keeps floor(fraction * (W//2+1)) columns. Published: floor(fraction * (H*W//2+1)), which at 14 x 14 keeps all 8
  columns for every fraction from 0.09 on; its 0.05 keeps floor(0.05 * 99) = 4, which is our 0.5.
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

    `sparsity` is the soft threshold on the spectrum in units of the ortho-normalised transform; `fraction` of the columns is kept,
    the lowest ones, the others become 0. Raises `Unsupported` where blocks do not divide C or no column is kept.
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
            raise Unsupported(f"fraction {fraction} keeps no column or more than all of a map {pair(resolution)[1]} pixels wide")
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
        """sqrt(H W) * shrink(Z) for a spectrum sqrt(H W) * X (B, C, H, columns)."""
        blocks = spectrum.unflatten(1, self.w1.shape[1:3]).flatten(3)  # (B, blocks, d, H * columns)
        hidden = self._layer(self.w1 / scale, self.b1, blocks)
        hidden = torch.view_as_complex(F.relu(torch.view_as_real(hidden)))
        output = self._layer(self.w2 * scale, self.b2 * scale, hidden)
        shrunk = torch.view_as_complex(F.softshrink(torch.view_as_real(output), self.sparsity * scale))
        return shrunk.view(spectrum.shape)

    @staticmethod
    def _layer(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
        """Complex block-diagonal layer on x (B, blocks, d, P)."""
        return (torch.complex(*weight).mT @ x).add_(torch.complex(*bias)[..., None])

    def flops(self, height: int, width: int) -> Flops:
        channels = self.b1[0].numel()
        points = height * self._columns(width, self.fraction)
        layers = 2 * 8 * channels * self.w1.shape[-1] * points
        return Flops(0, 2 * channels * rfft2_flops(height, width) + layers)

    def load_official(self, state: dict[str, Tensor]) -> None:
        """Weights of the published `AFNO2D`: `w1`, `w2` (2, blocks, d, d), `b1`, `b2` (2, blocks, d); else KeyError."""
        if state.keys() != self.state_dict().keys():
            raise KeyError(f"AFNO has the entries b1, b2, w1 and w2, not {sorted(state)}")
        self.load_state_dict(state)
