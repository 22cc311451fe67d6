"""Continuous kernels, their mask and crop, and convolutions with them, point by point in float64.

`p` maps the names of our state dict to the weights of a layer. Positions are (row, column) in [-1, 1]^2.
"""

from __future__ import annotations

import numpy as np


def axis(horizon):
    return np.array([-1 + 2 * i / (horizon - 1) for i in range(horizon)])


def crop(horizon, mean, sigma, threshold, min_half_width):
    """Return the positions strictly inside the extent of the mask, mirrored about the centre; all if it reaches the edge."""
    reach = abs(mean) + abs(sigma) * np.sqrt(-2 * np.log(threshold))
    positions = axis(horizon)
    if reach >= 1:
        return positions
    step = 2 / (horizon - 1)
    return np.array([t for t in positions if abs(t) < reach or abs(t) < (min_half_width + 0.5) * step])


def mask(y, x, mean, sigma, epsilon=0.0):
    value = 1.0
    for t, m, s in zip((y, x), mean, sigma):
        value *= np.exp(-((t - m) ** 2) / (2 * (s**2 + epsilon)))
    return value


def gabor_features(p, position):
    """Evaluate multiplicative filters: h_0 = f_0, h_i = f_i * (A_i h_{i-1} + c_i); sines if there are no windows."""
    filters = np.sin(p["net.frequency"] @ position + p["net.phase"])
    if "net.gamma" in p:
        scaled = p["net.gamma"] * (position - p["net.mu"])
        filters = filters * np.exp(-(scaled**2).sum(-1) / 2)
    h = filters[0]
    for f, weight, bias in zip(filters[1:], p["net.mix_weight"], p["net.mix_bias"]):
        h = f * (weight @ h + bias)
    return h


def siren_features(p, position, omega, scaled_bias=True):
    h = position
    for weight, bias in zip([p["net.in_weight"], *p["net.mix_weight"]], p["net.bias"]):
        h = np.sin(omega * (weight @ h) + (omega if scaled_bias else 1) * bias)
    return h


def mlp_features(p, positions):
    """Evaluate all positions together, (P, 2) -> (P, hidden), because the norm averages over them."""
    h = positions
    layers = zip([p["net.in_weight"], *p["net.mix_weight"]], p["net.bias"], p["net.norm_weight"], p["net.norm_bias"])
    for weight, bias, scale, shift in layers:
        h = h @ weight.T + bias
        h = (h - h.mean()) / np.sqrt(h.var() + 1e-12) * scale + shift
        h = np.maximum(h, 0)
    return h


def kernel(p, rows, columns, features, epsilon=0.0, masked=True, scale=1.0):
    """Return s * mask(p) * (A h(p) + c): (outputs, Kh, Kw)."""
    out = np.empty((len(p["net.out_bias"]), len(rows), len(columns)))
    for i, y in enumerate(rows):
        for j, x in enumerate(columns):
            window = mask(y, x, p["mask.mean"], p["mask.sigma"], epsilon) if masked else 1.0
            out[:, i, j] = scale * window * (p["net.out_weight"] @ features(p, np.array([y, x])) + p["net.out_bias"])
    return out


def convolve(x, kernel, bias, depthwise=False):
    """Compute the zero-padded cross-correlation of x (B, C_in, H, W), kernel (C_out, C_in, Kh, Kw) or depthwise (C, Kh, Kw)."""
    b, _, height, width = x.shape
    out = np.zeros((b, len(kernel), height, width)) + bias[:, None, None]
    kh, kw = kernel.shape[-2:]
    for i in range(kh):
        for j in range(kw):
            dy, dx = i - kh // 2, j - kw // 2
            shifted = np.zeros_like(x)
            rows = slice(max(0, -dy), min(height, height - dy))
            columns = slice(max(0, -dx), min(width, width - dx))
            if rows.start >= rows.stop or columns.start >= columns.stop:
                continue
            shifted[..., rows, columns] = x[..., rows.start + dy : rows.stop + dy, columns.start + dx : columns.stop + dx]
            tap = kernel[..., i, j]
            out += tap[:, None, None] * shifted if depthwise else np.einsum("oi,bihw->bohw", tap, shifted)
    return out
