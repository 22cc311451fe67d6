"""DFFormer's token mixer in float64, one image and one hidden channel at a time."""

from math import erf, sqrt

import numpy as np

from tests.reference.global_filter import circular_convolution


def star_relu(x, scale, bias):
    return scale * np.maximum(x, 0) ** 2 + bias


def gelu(x):
    return x * (1 + np.vectorize(erf)(x / sqrt(2))) / 2


def routing(mean, first, second, scale, bias, num_filters):
    """Return the routing weights (N, M) of one image with channel means (C,)."""
    scores = (second @ star_relu(first @ mean, scale, bias)).reshape(num_filters, -1)
    exponentials = np.exp(scores)
    return exponentials / exponentials.sum(0)


def dynamic_filter(x, kernels, expand, project, activation, router):
    """Filter x (B, C, H, W) with learned kernels (N, H, W) of that size. `router` maps channel means (C,) to weights (N, M)."""
    result = np.zeros_like(x)
    for b, image in enumerate(x):
        shares = router(image.mean((1, 2)))
        for m in range(len(expand)):
            hidden = activation(sum(expand[m, c] * image[c] for c in range(len(image))))
            kernel = sum(share * kernel for share, kernel in zip(shares[:, m], kernels))
            filtered = circular_convolution(hidden, kernel)
            for c in range(len(image)):
                result[b, c] += project[c, m] * filtered
    return result
