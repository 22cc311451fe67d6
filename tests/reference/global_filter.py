"""Circular filters from half spectra, and their resizing, as direct sums in float64."""

import numpy as np


def taps(pairs, width):
    """Return the real inverse transform (H, W) of one half spectrum (H, W//2+1, 2). Columns 0 and W/2 count once."""
    height, columns = pairs.shape[:2]
    rows, cols = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    kernel = np.zeros((height, width))
    for u in range(height):
        for v in range(columns):
            times = 1 if 2 * v in (0, width) else 2
            angle = 2 * np.pi * (u * rows / height + v * cols / width)
            kernel += times * (pairs[u, v, 0] * np.cos(angle) - pairs[u, v, 1] * np.sin(angle))
    return kernel / (height * width)


def circular_convolution(image, kernel):
    """Return y[i] = sum_d kernel[d] image[i - d], with indices modulo the common size (H, W)."""
    result = np.zeros_like(image)
    for offset in np.ndindex(kernel.shape):
        result += kernel[offset] * np.roll(image, offset, (0, 1))
    return result


def global_filter(x, kernels):
    """Filter x (B, C, H, W) with one kernel (H, W) per channel."""
    return np.stack([np.stack([circular_convolution(plane, k) for plane, k in zip(image, kernels)]) for image in x])


def resized_kernel(pairs, source, target, mode):
    """Return the kernel (H', W') for a map of `target` from one stored half spectrum of `source`."""
    if mode == "bicubic":
        return taps(bicubic(pairs, (target[0], target[1] // 2 + 1)), target[1])
    kernel = taps(pairs, source[1])
    if mode == "pad_kernel":
        return same_pixels(kernel, target)
    for axis in (0, 1):
        kernel = np.moveaxis(np.tensordot(interpolation(source[axis], target[axis]), kernel, (1, axis)), 0, axis)
    return kernel


def same_pixels(kernel, target):
    """Copy every tap to the same offset -(n//2) ... (n-1)//2 from the centre, if the target has that offset."""
    result = np.zeros(target)
    for i in range(-(kernel.shape[0] // 2), (kernel.shape[0] + 1) // 2):
        for j in range(-(kernel.shape[1] // 2), (kernel.shape[1] + 1) // 2):
            if -(target[0] // 2) <= i < (target[0] + 1) // 2 and -(target[1] // 2) <= j < (target[1] + 1) // 2:
                result[i, j] = kernel[i, j]
    return result


def interpolation(source, target):
    """Return the matrix (target, source) that samples the trigonometric polynomial of `source` points at `target` points.

    The result is scaled by source/target. Frequencies above target/2 are omitted; source/2, if included, counts half at either
    sign.
    """
    reach = min(source, target) // 2
    matrix = np.zeros((target, source))
    for u in range(-reach, reach + 1):
        share = 0.5 if 2 * abs(u) == source else 1.0
        phase = np.arange(target)[:, None] / target - np.arange(source)[None] / source
        matrix += share * np.cos(2 * np.pi * u * phase)
    return matrix / target


def bicubic(pairs, shape):
    """Apply Keys interpolation (a = -0.75) with aligned corners and repeated border: (H, V, 2) to (*shape, 2)."""
    for axis in (0, 1):
        pairs = np.moveaxis(_bicubic_rows(np.moveaxis(pairs, axis, 0), shape[axis]), 0, axis)
    return pairs


def _bicubic_rows(rows, target):
    source = len(rows)
    result = np.zeros((target, *rows.shape[1:]))
    for i in range(target):
        position = i * (source - 1) / (target - 1) if target > 1 else 0.0
        first = int(np.floor(position))
        for tap in range(first - 1, first + 3):
            result[i] += _keys(position - tap) * rows[min(max(tap, 0), source - 1)]
    return result


def _keys(distance, a=-0.75):
    d = abs(distance)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0
