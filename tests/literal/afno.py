"""The adaptive Fourier neural operator as published: channels last, complex products as real sums."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.afno import AFNO


def literal(module: AFNO, x: Tensor) -> Tensor:
    """Apply the operator to x (B, C, H, W).

    Differences from ours: orthonormal transforms over the inner axes of (B, H, W, C), four real block sums per layer, results
    written to zeroed buffers of the whole spectrum, soft threshold on the whole spectrum, no explicit Hermitian symmetry.
    """
    tokens = x.permute(0, 2, 3, 1)  # (B, H, W, C)
    spectrum = torch.fft.rfft2(tokens, dim=(1, 2), norm="ortho")
    spectrum = spectrum.unflatten(3, module.w1.shape[1:3])  # (B, H, W//2+1, blocks, d)
    columns = (slice(None), slice(None), slice(int(spectrum.shape[2] * module.fraction)))
    real, imag = _layer(spectrum.real[columns], spectrum.imag[columns], module.w1, module.b1)
    output = spectrum.real.new_zeros(2, *spectrum.shape)
    output[0][columns], output[1][columns] = _layer(F.relu(real), F.relu(imag), module.w2, module.b2)
    shrunk = torch.view_as_complex(F.softshrink(torch.stack([output[0], output[1]], -1), module.sparsity)).flatten(3)
    y = torch.fft.irfft2(shrunk, s=tokens.shape[1:3], dim=(1, 2), norm="ortho")
    return (y + tokens).permute(0, 3, 1, 2)


def _layer(real: Tensor, imag: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    def block(x: Tensor, w: Tensor) -> Tensor:
        return torch.einsum("...bi,bio->...bo", x, w)

    return block(real, weight[0]) - block(imag, weight[1]) + bias[0], block(imag, weight[0]) + block(real, weight[1]) + bias[1]
