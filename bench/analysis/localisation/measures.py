"""How large and of what kind a kernel is: plain numpy on banks of kernels (n, Kh, Kw) with offset 0 at (Kh // 2, Kw // 2).

The window k, odd, holds the offsets |dy|, |dx| <= (k - 1) / 2 that the grid has: at an even side it is clipped there. The mass
ratio is KMR_p(k) = (sum of |h|^p in window k) / (sum of |h|^p); Grabinski et al., TMLR 2024, show p = 1. No measure sees the scale
of a kernel, so what is nearly zero counts like the rest unless `audible` leaves it out.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

LEVELS = (0.5, 0.75, 0.9, 0.95)  # of mass, for the effective sizes
SILENT = 0.01  # of the root mean square of all norms of a bank: kernels of a smaller norm are left out
SAMPLE = 512  # kernels or taps that a singular value decomposition may have at most, on its shorter side
PCA_COMPONENTS = 20


def audible(kernels: np.ndarray) -> np.ndarray:
    """Which kernels (n,) are not nearly zero beside the others: those of at least `SILENT` of the typical norm."""
    norms = np.sqrt(np.square(kernels).sum((1, 2)))
    return norms > SILENT * np.sqrt(np.mean(np.square(norms))) if len(norms) else np.zeros(0, dtype=bool)


def rings(shape: tuple[int, ...]) -> np.ndarray:
    """max(|dy|, |dx|) of every tap (Kh, Kw): the window that reaches it is twice that and one."""
    rows, columns = (np.abs(np.arange(n) - n // 2) for n in shape[-2:])
    return np.maximum(rows[:, None], columns)


def windows(shape: tuple[int, ...]) -> np.ndarray:
    """1, 3, ... up to the first that holds the whole grid."""
    return np.arange(int(rings(shape).max()) + 1) * 2 + 1


def mass(kernels: np.ndarray, p: int = 1) -> np.ndarray:
    """KMR_p of every kernel at every window: (n, windows)."""
    ring = rings(kernels.shape).ravel()
    inside = (ring[:, None] == np.arange(ring.max() + 1)).astype(float)
    of_ring = (np.abs(kernels) ** p).reshape(len(kernels), -1) @ inside
    grown = np.cumsum(of_ring, 1)
    return grown / grown[:, -1:]


def effective_size(curve: np.ndarray, level: float) -> np.ndarray:
    """Smallest odd window whose mass (n, windows) is at least `level`: (n,)."""
    return np.argmax(curve >= level - 1e-12, 1) * 2 + 1


def radius(kernels: np.ndarray) -> np.ndarray:
    """Root mean square distance from offset 0 in pixels, weighted by energy: sqrt(sum h^2 r^2 / sum h^2)."""
    rows, columns = (np.square(np.arange(n) - n // 2) for n in kernels.shape[-2:])
    energy = np.square(kernels)
    return np.sqrt((energy * (rows[:, None] + columns)).sum((1, 2)) / energy.sum((1, 2)))


def delta_share(kernels: np.ndarray) -> np.ndarray:
    """|h(0)| / sum |h|."""
    size = np.abs(kernels)
    return size[:, size.shape[1] // 2, size.shape[2] // 2] / size.sum((1, 2))


def even_share(kernels: np.ndarray) -> np.ndarray:
    """Energy of (h(d) + h(-d)) / 2 over that of h; the odd part has the rest. On an even side -d is taken modulo N."""
    mirrored = np.flip(kernels, (1, 2))
    for axis in (1, 2):
        if kernels.shape[axis] % 2 == 0:
            mirrored = np.roll(mirrored, 1, axis)
    return np.square((kernels + mirrored) / 2).sum((1, 2)) / np.square(kernels).sum((1, 2))


def measures(kernels: np.ndarray) -> Mapping[str, np.ndarray]:
    """Every measure that is one number a kernel: (n,) each."""
    curve = mass(kernels)
    even = even_share(kernels)
    return {
        **{f"k_eff_{100 * level:.0f}": effective_size(curve, level) for level in LEVELS},
        "rms_radius": radius(kernels),
        "delta_share": delta_share(kernels),
        "even_share": even,
        "odd_share": 1 - even,
    }


def decomposed(kernels: np.ndarray) -> np.ndarray:
    """What a decomposition looks at (m, Kh * Kw): all, or where both sides are long `SAMPLE` kernels at equal distances."""
    rows = kernels.reshape(len(kernels), -1)
    if min(rows.shape) <= SAMPLE:
        return rows
    return rows[np.linspace(0, len(rows) - 1, SAMPLE).astype(int)]


def rank(rows: np.ndarray) -> int:
    """Dimensions that the rows (m, taps) span to the precision of float64."""
    return int(np.linalg.matrix_rank(rows)) if rows.any() else 0


def pca(rows: np.ndarray) -> np.ndarray:
    """Explained-variance ratios of the principal components of the rows (m, taps), mean-centred: the first `PCA_COMPONENTS`.

    Eigenvalues of the covariance of the taps, or of the rows' inner products where these are fewer: the same, but for zeros.
    """
    centred = rows - rows.mean(0)
    products = centred.T @ centred if len(rows) > rows.shape[1] else centred @ centred.T
    values = np.linalg.eigvalsh(products)[::-1].clip(0)
    whole = values.sum()
    return (values / whole if whole else values)[:PCA_COMPONENTS]
