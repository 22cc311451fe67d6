"""NIFF from its equations, in float64 numpy: loops over frequencies, offsets and layers, no FFT, no symmetry used.

W(f) = Re MLP(f) + i Im MLP(f); h(d) = Re 1/(HW) sum_f W(f) exp(2 pi i f.d / size); y(p) = sum_d h(d) x(p - d).
"""

from __future__ import annotations

import numpy as np

Layers = list[tuple[np.ndarray, np.ndarray]]  # (weight (out, in), bias (out)) of every layer


def mlp(layers: Layers, point: list[float]) -> np.ndarray:
    """Evaluate linear layers with SiLU between them at one point (x, y)."""
    value = np.array(point)
    for number, (weight, bias) in enumerate(layers):
        if number > 0:
            value = value / (1 + np.exp(-value))
        value = weight @ value + bias
    return value


def coordinate(index: int, n: int) -> float:
    """Return the position of a frequency index on the shifted axis, minus n / 2."""
    return (index + n // 2) % n - n / 2


def spectrum(real: Layers, imag: Layers, size: tuple[int, int], built: tuple[int, int] | None = None) -> np.ndarray:
    """Return W (filters, H, W) with frequency 0 at [0, 0]. `built`: the size to which normalised coordinates refer."""
    height, width = size
    scale = (built[0] / height, built[1] / width) if built else (1, 1)
    out = np.zeros((len(real[-1][1]), height, width), dtype=complex)
    for v in range(height):
        for u in range(width):
            point = [coordinate(u, width) * scale[1], coordinate(v, height) * scale[0]]
            out[:, v, u] = mlp(real, point) + 1j * mlp(imag, point)
    return out


def offsets(n: int) -> range:
    """Return the offsets -floor(n / 2) .. ceil(n / 2) - 1."""
    return range(-(n // 2), (n + 1) // 2)


def impulse_response(w: np.ndarray) -> np.ndarray:
    """Return h (filters, H, W), with offset 0 at [H//2, W//2]."""
    _, height, width = w.shape
    v, u = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    h = np.zeros(w.shape)
    for dy in offsets(height):
        for dx in offsets(width):
            wave = np.exp(2j * np.pi * (v * dy / height + u * dx / width))
            h[:, dy + height // 2, dx + width // 2] = (w * wave).sum((1, 2)).real / (height * width)
    return h


def shifted(x: np.ndarray, dy: int, dx: int, boundary: str) -> np.ndarray:
    """Return x(p - d), periodic for "circular", zero outside the map for "zero"."""
    height, width = x.shape[-2:]
    out = np.zeros_like(x)
    for row in range(height):
        for column in range(width):
            r, c = row - dy, column - dx
            if boundary == "circular":
                r, c = r % height, c % width
            if 0 <= r < height and 0 <= c < width:
                out[..., row, column] = x[..., r, c]
    return out


def depthwise(x: np.ndarray, h: np.ndarray, boundary: str) -> np.ndarray:
    """Filter x (B, C, H, W) with h (C, H, W)."""
    height, width = x.shape[-2:]
    y = np.zeros_like(x)
    for dy in offsets(height):
        for dx in offsets(width):
            y += h[:, dy + height // 2, dx + width // 2, None, None] * shifted(x, dy, dx, boundary)
    return y


def full(x: np.ndarray, h: np.ndarray, boundary: str) -> np.ndarray:
    """Filter x (B, I, H, W) with h (I * O, H, W); filter i * O + o maps channel i to o."""
    inputs = x.shape[1]
    outputs = len(h) // inputs
    y = np.zeros((len(x), outputs, *x.shape[2:]))
    for i in range(inputs):
        for o in range(outputs):
            y[:, o : o + 1] += depthwise(x[:, i : i + 1], h[i * outputs + o : i * outputs + o + 1], boundary)
    return y


def split(x: np.ndarray, h: np.ndarray, boundary: str, mix: np.ndarray) -> np.ndarray:
    """Apply `depthwise`, then the matrix `mix` (O, C) to the channels of every pixel."""
    return np.tensordot(depthwise(x, h, boundary), mix, axes=([1], [1])).transpose(0, 3, 1, 2)
