"""Dense kernels from a few maps against torch's convolution: tiles, cached and computed spectra, choice of tiles."""

import pytest
import torch

from methods.contract import relative_error
from methods.parts import dense_paths
from methods.parts.dense_paths import (
    Axis,
    Tiling,
    basis_spectra,
    best_tiling,
    cached_spectra,
    filter_tiles,
    mix_from_basis,
    single_tile,
)

IMAGE, KERNEL, TEN_FREQUENCIES = (19, 24), (7, 11), 10 * 4 * 5 * 16


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return draw(2, 4, *IMAGE).requires_grad_(), draw(6, *KERNEL).requires_grad_(), draw(6, 4, 5).requires_grad_()


def direct(x, maps, matrix):
    return torch.conv2d(x, torch.einsum("rhw,rio->oihw", maps, matrix), padding=tuple(k // 2 for k in maps.shape[1:]))


@pytest.mark.parametrize("tiles", [(1, 1), (2, 3), (5, 1), (1, 8), (4, 4)], ids=str)
def test_every_number_of_tiles_gives_the_convolution(tiles, problem, monkeypatch):
    monkeypatch.setattr(dense_paths, "BLOCK", {"cpu": TEN_FREQUENCIES})
    monkeypatch.setattr(dense_paths, "BAND", 3)
    x, maps, matrix = problem
    tiling = Tiling(*(Axis.cut(n, k, count) for n, k, count in zip(IMAGE, KERNEL, tiles)))
    basis = basis_spectra(maps, tiling)
    spectra = cached_spectra(basis, matrix)
    assert tiling.tiles == tiles[0] * tiles[1] and spectra.shape == (tiling.bins, 4, 5)
    expected = direct(x, maps, matrix)
    filtered = filter_tiles(x, tiling, lambda y: mix_from_basis(y, basis, matrix))
    assert relative_error(filtered, expected) < 1e-12 and filtered.is_contiguous()
    for bands in (False, True):
        assert relative_error(filter_tiles(x, tiling, lambda y: torch.bmm(y, spectra), bands), expected) < 1e-12
    reference = torch.autograd.grad(expected.square().sum(), problem)
    for ours, gradient in zip(torch.autograd.grad(filtered.square().sum(), problem), reference):
        assert relative_error(ours, gradient) < 1e-12
    frozen = filter_tiles(x, tiling, lambda y: torch.bmm(y, spectra))
    assert relative_error(torch.autograd.grad(frozen.square().sum(), x)[0], reference[0]) < 1e-12


def test_no_tile_is_empty():
    for length in range(1, 30):
        for count in range(1, length + 1):
            axis = Axis.cut(length, 5, count)
            assert (axis.tiles - 1) * axis.step < length <= axis.tiles * axis.step
            assert axis.size >= axis.step + (4 if axis.tiles > 1 else 2)


def test_the_choice_of_tiles():
    computed, cached = (best_tiling((224, 224), (37, 37), (64, 64), 33, cached) for cached in (False, True))
    assert computed.tiles > 1 and computed.bins <= cached.bins
    assert best_tiling((32, 32), (33, 33), (64, 64), 33, True) == single_tile((32, 32), (33, 33))
    large = best_tiling((512, 512), (81, 81), (64, 64), 33, True)
    assert 8 * large.bins * 64 * 64 <= dense_paths.MAX_SPECTRA < 8 * single_tile((512, 512), (81, 81)).bins * 64 * 64
    huge = best_tiling((32, 32), (9, 9), (2048, 2048), 33, True)  # even the smallest tile exceeds the limit
    assert huge.bins < best_tiling((32, 32), (9, 9), (64, 64), 33, True).bins


def test_operations_of_a_tiling():
    tiling = Tiling(Axis.cut(16, 5, 2), Axis.cut(16, 5, 2))  # 8 + 4 -> 12 x 12, 84 bins
    transform = tiling.transforms(1)
    assert tiling.size == (12, 12) and tiling.bins == 84
    assert tiling.flops((3, 5), 9) == (9 * transform + 4 * 84 * 9 * 15, 4 * (8 * transform + 8 * 84 * 15))
