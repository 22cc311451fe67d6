"""Oracle of the shared filter basis: direct sums in float64, pixel by pixel."""

from __future__ import annotations

import numpy as np

from tests.reference.conv import dense


def batch_norm(z, gamma, beta, mean, variance, eps=1e-5):
    """Normalise each channel of z (B, M, H, W) with the given statistics (M)."""
    y = np.empty_like(z)
    for m in range(z.shape[1]):
        y[:, m] = (z[:, m] - mean[m]) / np.sqrt(variance[m] + eps) * gamma[m] + beta[m]
    return y


def statistics(z):
    """Return mean, variance (over n) and unbiased variance (over n - 1) of each channel of z (B, M, H, W)."""
    mean, biased, unbiased = [], [], []
    for m in range(z.shape[1]):
        values = z[:, m].ravel()
        centre = values.sum() / values.size
        squares = ((values - centre) ** 2).sum()
        mean.append(centre)
        biased.append(squares / values.size)
        unbiased.append(squares / (values.size - 1))
    return np.array(mean), np.array(biased), np.array(unbiased)


def combine(z, coefficients):
    """Return y[b, o] = sum_m coefficients[o, m] z[b, m]."""
    batch, rank, height, width = z.shape
    y = np.zeros((batch, len(coefficients), height, width))
    for o in range(len(coefficients)):
        for m in range(rank):
            y[:, o] += coefficients[o, m] * z[:, m]
    return y


def shared_basis(x, unique, shared, coefficients, gamma, beta, mean=None, variance=None):
    """Return A BN([U * x ; S * x]), with batch statistics as in training if `mean` and `variance` are omitted."""
    z = np.concatenate([dense(x, filters) for filters in (unique, shared) if len(filters)], axis=1)
    if mean is None:
        mean, variance, _ = statistics(z)
    return combine(batch_norm(z, gamma, beta, mean, variance), coefficients)


def orthogonality(groups, include_unique=False):
    """Return the mean of (<a, b> - [a is b])^2 over the relevant pairs; a group is (shared, [unique filters per layer])."""
    errors = []
    for shared, layers in groups:
        rows = [*shared, *(filter_ for layer in layers for filter_ in layer)] if include_unique else list(shared)
        for i in range(len(shared)):
            for j in range(len(rows)):
                errors.append(((shared[i] * rows[j]).sum() - (i == j)) ** 2)
        for layer in layers if include_unique else []:
            for i in range(len(layer)):
                for j in range(len(layer)):
                    errors.append(((layer[i] * layer[j]).sum() - (i == j)) ** 2)
    return sum(errors) / len(errors)
