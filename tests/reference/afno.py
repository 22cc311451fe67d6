"""The adaptive Fourier neural operator in float64: direct transforms, one frequency at a time."""

import numpy as np

from tests.reference.global_filter import taps


def afno(x, w1, b1, w2, b2, sparsity, columns):
    """x (B, C, H, W); w (2, blocks, d, d) as (real and imaginary, block, in, out), b (2, blocks, d); `columns` are retained."""
    w1, b1, w2, b2 = (pair[0] + 1j * pair[1] for pair in (w1, b1, w2, b2))
    blocks, width = b1.shape
    result = np.array(x)
    for b, image in enumerate(x):
        spectrum = np.zeros((*image.shape[:2], image.shape[2] // 2 + 1, 2))
        for u in range(image.shape[1]):
            for v in range(columns):
                values = bin_values(image, u, v).reshape(blocks, width)
                for k in range(blocks):
                    z = w2[k].T @ split(relu, w1[k].T @ values[k] + b1[k]) + b2[k]
                    z = split(lambda part: shrink(part, sparsity), z)
                    spectrum[k * width : (k + 1) * width, u, v] = np.stack([z.real, z.imag], -1)
        scale = np.sqrt(image.shape[1] * image.shape[2])
        for c in range(len(image)):
            result[b, c] += scale * taps(spectrum[c], image.shape[2])
    return result


def bin_values(image, u, v):
    """Return the orthonormal transform of every channel at one frequency."""
    _, height, width = image.shape
    phase = np.exp(-2j * np.pi * (u * np.arange(height)[:, None] / height + v * np.arange(width)[None] / width))
    return (image * phase).sum((1, 2)) / np.sqrt(height * width)


def relu(part):
    return np.maximum(part, 0)


def shrink(part, threshold):
    return np.sign(part) * np.maximum(np.abs(part) - threshold, 0)


def split(function, z):
    """Apply `function` to real and imaginary part separately."""
    return function(z.real) + 1j * function(z.imag)
