"""Measures of the size and the shape of kernels, in NumPy, for banks of kernels (n, Kh, Kw) with offset 0 at (Kh // 2, Kw // 2).

The window k, odd, holds the offsets |dy|, |dx| <= (k - 1) / 2 of the grid; along an axis of even size it is clipped. The mass
ratio is KMR_p(k) = (sum of |h|^p in window k) / (sum of |h|^p); Grabinski et al., TMLR 2024, show p = 1. No measure depends on the
scale of a kernel, so kernels of negligible norm would count like the others; `non_negligible` excludes them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

EFFECTIVE_SIZES = {f"k_eff_{100 * level:.0f}": level for level in (0.5, 0.75, 0.9, 0.95)}  # name -> share of the mass
NEGLIGIBLE = 0.01  # norm relative to the root mean square norm of the bank; kernels below it are left out
SAMPLE = 512  # largest shorter side of a matrix for a singular value decomposition
PCA_COMPONENTS = 20


def non_negligible(kernels: np.ndarray) -> np.ndarray:
    """Return a mask (n,) of the kernels whose norm exceeds `NEGLIGIBLE` times the root mean square norm of the bank."""
    norms = np.sqrt(np.square(kernels).sum((1, 2)))
    return norms > NEGLIGIBLE * np.sqrt(np.mean(np.square(norms))) if len(norms) else np.zeros(0, dtype=bool)


def rings(shape: tuple[int, ...]) -> np.ndarray:
    """Return max(|dy|, |dx|) of every tap (Kh, Kw). The smallest window that holds ring r has side 2 r + 1."""
    rows, columns = (np.abs(np.arange(n) - n // 2) for n in shape[-2:])
    return np.maximum(rows[:, None], columns)


def windows(shape: tuple[int, ...]) -> np.ndarray:
    """Return the window sides 1, 3, ... up to the first that holds the whole grid."""
    return np.arange(int(rings(shape).max()) + 1) * 2 + 1


def mass_ratios(kernels: np.ndarray, p: int = 1) -> np.ndarray:
    """Return KMR_p of every kernel at every window: (n, windows)."""
    ring = rings(kernels.shape).ravel()
    inside = (ring[:, None] == np.arange(ring.max() + 1)).astype(float)
    per_ring = (np.abs(kernels) ** p).reshape(len(kernels), -1) @ inside
    cumulative = np.cumsum(per_ring, 1)
    return cumulative / cumulative[:, -1:]


def effective_size(curve: np.ndarray, level: float) -> np.ndarray:
    """Return the smallest odd window whose mass ratio (n, windows) is at least `level`: (n,)."""
    return np.argmax(curve >= level - 1e-12, 1) * 2 + 1


def rms_radius(kernels: np.ndarray) -> np.ndarray:
    """Return the root mean square distance from offset 0 in pixels, weighted by energy: sqrt(sum h^2 r^2 / sum h^2)."""
    rows, columns = (np.square(np.arange(n) - n // 2) for n in kernels.shape[-2:])
    energy = np.square(kernels)
    return np.sqrt((energy * (rows[:, None] + columns)).sum((1, 2)) / energy.sum((1, 2)))


def delta_share(kernels: np.ndarray) -> np.ndarray:
    """Return |h(0)| / sum |h|."""
    size = np.abs(kernels)
    return size[:, size.shape[1] // 2, size.shape[2] // 2] / size.sum((1, 2))


def even_share(kernels: np.ndarray) -> np.ndarray:
    """Return the energy of the even part (h(d) + h(-d)) / 2 relative to that of h.

    The odd part has the rest. Along an axis of even size N, -d is taken modulo N.
    """
    mirrored = np.flip(kernels, (1, 2))
    for axis in (1, 2):
        if kernels.shape[axis] % 2 == 0:
            mirrored = np.roll(mirrored, 1, axis)
    return np.square((kernels + mirrored) / 2).sum((1, 2)) / np.square(kernels).sum((1, 2))


def scalar_measures(kernels: np.ndarray) -> Mapping[str, np.ndarray]:
    """Return every measure that is one value per kernel: (n,) each."""
    curve = mass_ratios(kernels)
    even = even_share(kernels)
    return {
        **{name: effective_size(curve, level) for name, level in EFFECTIVE_SIZES.items()},
        "rms_radius": rms_radius(kernels),
        "delta_share": delta_share(kernels),
        "even_share": even,
        "odd_share": 1 - even,
    }


def decomposed_rows(kernels: np.ndarray) -> np.ndarray:
    """Return the rows (m, Kh * Kw) to decompose: all kernels, or `SAMPLE` evenly spaced ones if both sides are longer than that."""
    rows = kernels.reshape(len(kernels), -1)
    if min(rows.shape) <= SAMPLE:
        return rows
    return rows[np.linspace(0, len(rows) - 1, SAMPLE).astype(int)]


def rank(rows: np.ndarray) -> int:
    """Return the numerical rank of the rows (m, taps) in float64."""
    return int(np.linalg.matrix_rank(rows)) if rows.any() else 0


def pca(rows: np.ndarray) -> np.ndarray:
    """Return the explained-variance ratios of the first `PCA_COMPONENTS` principal components of the mean-centred rows (m, taps).

    They are the eigenvalues of the covariance of the taps, or of the Gram matrix of the rows if that is smaller: the two differ
    only in zeros.
    """
    centred = rows - rows.mean(0)
    products = centred.T @ centred if len(rows) > rows.shape[1] else centred @ centred.T
    values = np.linalg.eigvalsh(products)[::-1].clip(0)
    whole = values.sum()
    return (values / whole if whole else values)[:PCA_COMPONENTS]
