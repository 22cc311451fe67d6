"""Convolution with a large dense kernel of low rank: k[o, i] = sum_r matrix[r, i, o] * map_r, zero padding, stride 1.

The Fourier form does not compute the C_out * C_in spatial kernels. It transforms the R maps, mixes their spectra into the spectra
of all kernels by one real matrix product, and sums over input channels by one complex matrix product per frequency. The image is
cut into tiles (overlap-save). The memory of the spectra is proportional to the tile, not to the image, but a smaller tile has a
smaller share of output.

Shapes: image (B, C_in, H, W), maps (R, Kh, Kw) odd and centred, matrix (R, C_in, C_out). N = B * tiles. F is the number of bins of
the spectrum of a tile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.parts.cost import Flops, bins, rfft2_flops
from methods.parts.spectral import Size, fast_size, irfft2, kernel_spectrum, rfft2

MAX_TILES = 24  # along an axis
# Cost on one CPU core relative to a matrix product with as many operations, for `best_tiling`: transforms with their copies; and
# reading cached spectra, in products of tiles.
FFT_WEIGHT = 9
READ_WEIGHT = 4
MAX_SPECTRA = 512 * 2**20  # bytes of cached kernel spectra, unless even the smallest tile needs more
BAND = 8  # tiles per pass over the cached spectra; fewer use less memory
# Bytes of kernel spectra computed at a time if they are not cached: the cache of a CPU core; more on other devices, where kernel
# launches cost more.
BLOCK = {"cpu": 2 * 2**20, "meta": 2 * 2**20}
BLOCK_ELSEWHERE = 256 * 2**20


@dataclass(frozen=True)
class Axis:
    """One axis of overlap-save: `tiles` tiles of `size` points with `step` outputs each; `half_kernel` = (K - 1) / 2."""

    length: int
    tiles: int
    step: int
    size: int
    half_kernel: int

    @classmethod
    def cut(cls, length: int, kernel: int, tiles: int) -> Axis:
        """Divide an axis of `length` points into at most `tiles` tiles, for a kernel of `kernel` taps."""
        # A single tile needs no left margin: the wrap-around only affects points past the image.
        step = -(-length // tiles)
        tiles = -(-length // step)
        return cls(length, tiles, step, fast_size(step + (kernel - 1 if tiles > 1 else kernel // 2)), kernel // 2)

    @property
    def window(self) -> int:
        """Number of image points in a tile."""
        return self.size if self.tiles > 1 else self.length

    @property
    def start(self) -> int:
        """Index of the first valid output of a tile."""
        return self.half_kernel if self.tiles > 1 else 0

    @property
    def margins(self) -> tuple[int, int]:
        """Number of zeros before and after the image."""
        if self.tiles == 1:
            return 0, 0
        return self.half_kernel, (self.tiles - 1) * self.step + self.size - self.half_kernel - self.length


@dataclass(frozen=True)
class Tiling:
    """Overlap-save along both axes."""

    rows: Axis
    columns: Axis

    @property
    def size(self) -> Size:
        return self.rows.size, self.columns.size

    @property
    def bins(self) -> int:
        return bins(*self.size)

    @property
    def tiles(self) -> int:
        return self.rows.tiles * self.columns.tiles

    def transforms(self, planes: int) -> int:
        """Return the FLOPs of `planes` transforms of a tile."""
        return planes * rfft2_flops(*self.size)

    def flops(self, channels: Size, rank: int) -> Flops:
        """Return the FLOPs of computing the spectra of the kernels from the maps, and of filtering one image."""
        pairs = channels[0] * channels[1]
        apply = self.tiles * (self.transforms(sum(channels)) + 8 * self.bins * pairs)
        return Flops(self.transforms(rank) + 4 * self.bins * rank * pairs, apply)


def single_tile(image: Size, kernel: Size) -> Tiling:
    """Return the tiling with one transform of the whole image."""
    return Tiling(*(Axis.cut(n, k, 1) for n, k in zip(image, kernel)))


@cache
def best_tiling(image: Size, kernel: Size, channels: Size, rank: int, cached: bool, batch: int = 1) -> Tiling:
    """Return the tiling with the lowest estimated time per batch. If the spectra are `cached`, their memory is bounded."""
    pairs = channels[0] * channels[1]

    def cost(tiling: Tiling) -> tuple[int, int]:
        tiles = batch * tiling.tiles
        planes = tiles * sum(channels) + (0 if cached else rank)
        products = 8 * tiles + (8 * READ_WEIGHT if cached else 4 * rank)
        excess = max(8 * tiling.bins * pairs - MAX_SPECTRA, 0) if cached else 0
        return excess, FFT_WEIGHT * tiling.transforms(planes) + products * tiling.bins * pairs

    rows, columns = ([Axis.cut(n, k, i + 1) for i in range(min(n, MAX_TILES))] for n, k in zip(image, kernel))
    return min((Tiling(row, column) for row in rows for column in columns), key=cost)


def basis_spectra(maps: Tensor, tiling: Tiling) -> Tensor:
    """Return the spectra of the maps on the grid of a tile, as real and imaginary parts: (F, 2, R)."""
    spectra = torch.view_as_real(kernel_spectrum(maps, tiling.size).flatten(1))
    return spectra.permute(1, 2, 0).contiguous()


def dense_spectra(basis: Tensor, matrix: Tensor) -> Tensor:
    """Return the complex spectra of all kernels (F, C_in, C_out) from (F, 2, R) and (R, C_in, C_out)."""
    parts = (basis.flatten(0, 1) @ matrix.flatten(1)).view(*basis.shape[:2], *matrix.shape[1:])
    return torch.complex(parts[:, 0], parts[:, 1])


def _blocks(image: Tensor, matrix: Tensor) -> Iterator[slice]:
    per_bin = matrix[0].numel() * image.element_size()
    step = max(1, BLOCK.get(image.device.type, BLOCK_ELSEWHERE) // per_bin)
    return (slice(start, start + step) for start in range(0, image.shape[0], step))


class _MixFromBasis(torch.autograd.Function):
    """image (F, N, C_in) times `dense_spectra(basis, matrix)`, by blocks. The spectra are not stored, nor saved for backward."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, basis: Tensor, matrix: Tensor) -> Tensor:
        ctx.save_for_backward(image, basis, matrix)
        mixed = image.new_empty((*image.shape[:2], matrix.shape[2]))
        for part in _blocks(image, matrix):
            mixed[part] = torch.bmm(image[part], dense_spectra(basis[part], matrix))
        return mixed

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        image, basis, matrix = ctx.saved_tensors
        flat = matrix.flatten(1)
        to_image, to_basis, to_matrix = torch.empty_like(image), torch.empty_like(basis), torch.zeros_like(flat)
        for part in _blocks(image, matrix):
            to_image[part] = torch.bmm(grad[part], dense_spectra(basis[part], matrix).mH)
            to_kernel = torch.view_as_real(torch.bmm(image[part].mH, grad[part]).flatten(1))  # (F, C_in * C_out, 2)
            parts = to_kernel.transpose(1, 2).reshape(-1, flat.shape[1])
            to_basis[part] = (parts @ flat.T).view_as(basis[part])
            to_matrix += basis[part].flatten(0, 1).T @ parts
        return to_image, to_basis, to_matrix.view_as(matrix)


def mix_from_basis(image: Tensor, basis: Tensor, matrix: Tensor) -> Tensor:
    """Return the filtered spectra (F, N, C_out) of tiles (F, N, C_in), from the spectra of the maps and the matrix."""
    return _MixFromBasis.apply(image, basis, matrix)


@torch.no_grad()
def cached_spectra(basis: Tensor, matrix: Tensor) -> Tensor:
    """Return `dense_spectra` without gradient, computed by blocks so that no temporary tensor is as large."""
    spectra = matrix.new_empty((basis.shape[0], *matrix.shape[1:]), dtype=matrix.dtype.to_complex())
    for part in _blocks(spectra, matrix):
        spectra[part] = dense_spectra(basis[part], matrix)
    return spectra


def filter_tiles(x: Tensor, tiling: Tiling, mix: Callable[[Tensor], Tensor], bands: bool = False) -> Tensor:
    """Filter x (B, C_in, H, W) by tiles. `mix` maps spectra of tiles (F, N, C_in) to (F, N, C_out). Returns (B, C_out, H, W).

    With `bands` a few rows of tiles are processed at a time, which bounds the memory if the spectra of the kernels are cached.
    """
    rows, columns = tiling.rows, tiling.columns
    padded = F.pad(x, (*columns.margins, *rows.margins)) if tiling.tiles > 1 else x
    tiles = padded.unfold(2, rows.window, rows.step).unfold(3, columns.window, columns.step)  # (B, C_in, rows, columns, tile)
    height = -(-BAND // (x.shape[0] * columns.tiles)) if bands else rows.tiles
    parts = [_filter_band(band, tiling, mix)[..., : columns.length] for band in tiles.split(height, 2)]
    parts[-1] = parts[-1][..., : rows.length - (len(parts) - 1) * height * rows.step, :]
    return torch.cat(parts, 2) if len(parts) > 1 else parts[0].contiguous()


def _filter_band(tiles: Tensor, tiling: Tiling, mix: Callable[[Tensor], Tensor]) -> Tensor:
    """Filter tiles (B, C_in, n, m, *tile): (B, C_out, n * step, m * step)."""
    rows, columns = tiling.rows, tiling.columns
    batch, channels, n, m = tiles.shape[:4]
    # one name for all intermediate results, so that each is freed
    y = rfft2(tiles.permute(0, 2, 3, 1, 4, 5).flatten(0, 2), tiling.size)
    y = mix(_transposed(y.flatten(2).flatten(0, 1)).view(-1, batch * n * m, channels))
    outputs = y.shape[2]
    y = irfft2(_transposed(y.flatten(1)).view(-1, rows.size, columns.size // 2 + 1), tiling.size)
    y = y[..., rows.start : rows.start + rows.step, columns.start : columns.start + columns.step]
    return y.unflatten(0, (batch, n, m, outputs)).permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)


def _transposed(matrix: Tensor) -> Tensor:
    """Return a transposed copy. torch copies matrices by blocks, but not tensors of three axes."""
    return matrix.t().contiguous()
