"""Oracles of convolutions: direct sums in float64, zero outside the map."""

from __future__ import annotations

import numpy as np


def shifted(plane, rows, columns):
    """Return plane[h + rows, w + columns] (H, W), 0 outside the plane."""
    height, width = plane.shape
    out = np.zeros_like(plane)
    for h in range(height):
        for w in range(width):
            if 0 <= h + rows < height and 0 <= w + columns < width:
                out[h, w] = plane[h + rows, w + columns]
    return out


def correlate(plane, kernel):
    """Return sum_ij kernel[i, j] plane[h + i - Kh//2, w + j - Kw//2] for a plane (H, W) and an odd kernel (Kh, Kw)."""
    kh, kw = kernel.shape
    out = np.zeros(plane.shape)
    for i in range(kh):
        for j in range(kw):
            out += kernel[i, j] * shifted(plane, i - kh // 2, j - kw // 2)
    return out


def dense(x, weight, bias=None):
    """Return y[b, o] = bias[o] + sum_c weight[o, c] correlated with x[b, c]: x (B, C, H, W), weight (O, C, Kh, Kw)."""
    y = np.zeros((x.shape[0], weight.shape[0], *x.shape[2:]))
    for b in range(x.shape[0]):
        for o in range(weight.shape[0]):
            for c in range(weight.shape[1]):
                y[b, o] += correlate(x[b, c], weight[o, c])
            y[b, o] += 0.0 if bias is None else bias[o]
    return y


def depthwise(x, weight, bias):
    """Return y[b, c] = bias[c] + weight[c] correlated with x[b, c]: weight (C, Kh, Kw)."""
    y = np.zeros_like(x)
    for b in range(x.shape[0]):
        for c in range(x.shape[1]):
            y[b, c] = correlate(x[b, c], weight[c]) + bias[c]
    return y
