"""Mass, size and components of kernels from their definitions, in float64 numpy: loops over offsets, one kernel at a time."""

from __future__ import annotations

import numpy as np


def offsets(n: int) -> range:
    """Return the offsets -floor(n / 2) .. ceil(n / 2) - 1."""
    return range(-(n // 2), (n + 1) // 2)


def taps(kernel: np.ndarray) -> dict[tuple[int, int], float]:
    """Map offsets (dy, dx) to taps."""
    height, width = kernel.shape
    return {(dy, dx): kernel[dy + height // 2, dx + width // 2] for dy in offsets(height) for dx in offsets(width)}


def mass(kernel: np.ndarray, p: int, window: int) -> float:
    """Return KMR_p(window)."""
    inside = [abs(h) ** p for (dy, dx), h in taps(kernel).items() if max(abs(dy), abs(dx)) <= (window - 1) / 2]
    return sum(inside) / sum(abs(h) ** p for h in taps(kernel).values())


def masses(bank: np.ndarray, p: int) -> np.ndarray:
    """Return the masses (n, windows) in windows 1, 3, ... up to the first that contains the kernel."""
    largest = 2 * max(n // 2 for n in bank.shape[1:]) + 1
    return np.array([[mass(kernel, p, window) for window in range(1, largest + 1, 2)] for kernel in bank])


def effective(kernel: np.ndarray, level: float) -> int:
    window = 1
    while mass(kernel, 1, window) < level - 1e-12:
        window += 2
    return window


def radius(kernel: np.ndarray) -> float:
    energy = {(dy, dx): h * h for (dy, dx), h in taps(kernel).items()}
    return float(np.sqrt(sum((dy * dy + dx * dx) * e for (dy, dx), e in energy.items()) / sum(energy.values())))


def even_share(kernel: np.ndarray) -> float:
    """Return the share of the even part. The mirror image of offset d is -d, modulo the side if that is even."""
    height, width = kernel.shape
    even = 0.0
    for dy, dx in taps(kernel):
        mirrored = kernel[(-dy + height // 2) % height, (-dx + width // 2) % width]
        even += ((kernel[dy + height // 2, dx + width // 2] + mirrored) / 2) ** 2
    return even / float((kernel**2).sum())


def pca(bank: np.ndarray) -> np.ndarray:
    """Return the eigenvalues of the covariance of the flattened kernels over their sum, in descending order."""
    values = np.linalg.eigvalsh(np.cov(bank.reshape(len(bank), -1), rowvar=False))[::-1]
    return values / values.sum()


def placed(bank: np.ndarray, size: tuple[int, int], turned: bool) -> np.ndarray:
    """Place each kernel at the centre of a map (n, H, W), cropped at its edge; turned by 180 degrees for a correlation."""
    out = np.zeros((len(bank), *size))
    for number, kernel in enumerate(bank):
        for (dy, dx), h in taps(kernel).items():
            row, column = (n // 2 + (-d if turned else d) for n, d in zip(size, (dy, dx)))
            if turned and (row == size[0] or column == size[1]) and kernel.shape == size:  # circular: H/2 is -H/2
                row, column = row % size[0], column % size[1]
            if 0 <= row < size[0] and 0 <= column < size[1]:
                out[number, row, column] = h
    return out


def notebook_kernels(module, n: int) -> np.ndarray:
    """Return the real part of the inverse transform of the shifted spectrum, shifted back; every sum is explicit."""

    def network(mlp, x: float, y: float) -> np.ndarray:
        value = np.array([x, y])
        for layer in mlp.layers:
            value = layer.weight.detach().numpy() @ value + layer.bias.detach().numpy()
            value = value / (1 + np.exp(-value))
        return mlp.last.weight.detach().numpy() @ value + mlp.last.bias.detach().numpy()

    points = [(v, u) for v in range(n) for u in range(n)]
    spectrum = {
        (v, u): network(module.real, u - n / 2, v - n / 2) + 1j * network(module.imag, u - n / 2, v - n / 2) for v, u in points
    }
    out = np.zeros((module.channels, n, n))
    for row, column in points:
        terms = [value * np.exp(2j * np.pi * (v * row + u * column) / n) for (v, u), value in spectrum.items()]
        out[:, (row + n // 2) % n, (column + n // 2) % n] = sum(terms).real / (n * n)
    return out


def gaussian(n: int, sigma: float) -> np.ndarray:
    """Return a bank of one kernel (1, n, n): exp(-r^2 / (2 sigma^2)) about n // 2."""
    squares = np.square(np.arange(n) - n // 2)
    return np.exp(-(squares[:, None] + squares) / (2 * sigma**2))[None]
