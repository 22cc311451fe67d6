"""Two distant blobs: do they have the same sign? A synthetic test of a method's reach, not a published benchmark.

An image is Gaussian noise of deviation 0.1 with two blobs of 2 x 2 pixels of amplitude +2 or -2. The L-infinity distance of their
top left corners is `distance` to `distance` + 2. (In Euclidean distance, a square receptive field would reach further along its
diagonal.) Positions and signs are independent. The label is 1 if the signs are equal, and each split is balanced.

For a distance D, pixels of different blobs are at least D - 1 apart, so a receptive field of R x R pixels with R < D never contains
pixels of both. With a linear head after global average pooling, the logit z is then a sum of two terms, each depending on one blob,
and the label y = +-1 is uncorrelated with every such sum. The logistic loss is convex, hence E log(1 + exp(-yz)) >=
log(1 + exp(-E yz)) = log 2, with equality only for z = 0: such a network cannot learn the task, and training drives its logits to 0
and its accuracy to 50%. A threshold on a sum can be correct on three of the four pairs of signs, at a loss above log 2. Therefore
the accuracy may deviate from 50% before the logits converge (40 to 72% during trainings that ended within two points of 50%). The
loss bound is proven; the accuracy after a full schedule agrees with it. The bound also holds with batch norms, which are affine in
evaluation, but not with a nonlinear head or a norm over the pixels of an image.

Pixels are drawn from numpy's PCG64, one stream per split, and rounded to multiples of 2^-10, which removes differences between
mathematical libraries. The mean and the deviation are computed from integer sums. The images are therefore identical on every
machine.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.utils.data import TensorDataset

from bench.data import SEED, DataSpec, Splits

BLOB = 2  # pixels per side
SPREAD = 2  # maximum increase of the distance
NOISE, AMPLITUDE = 0.1, 2.0
GRID = 1024  # quantisation steps per unit of brightness

Arrays = tuple[np.ndarray, np.ndarray]  # images, labels


def load(spec: DataSpec, distance: int = 18, train: int = 4000, validation: int = 1000, test: int = 1000) -> Splits:
    """Generate images (1, res, res), standardised by the train split. Raises ValueError if the blobs do not fit or overlap."""
    if spec.augment != "none" or spec.erase:
        raise ValueError("farpair does not support augmentation: use augment=none and erase=0")
    sizes = (train, validation, test)
    check(spec.res, distance, *sizes)
    arrays = [generate(size, spec.res, distance, np.random.default_rng([SEED, split])) for split, size in enumerate(sizes)]
    chance = 100 * ((test + 1) // 2) / test
    train_split, validation_split, test_split = standardised(arrays)
    return Splits(
        train_split, validation_split, test_split, classes=2, channels=1, trivial_accuracy=chance, trivial_predictor="chance"
    )


def check(res: int, distance: int = 18, train: int = 1, validation: int = 1, test: int = 1) -> None:
    """Raise ValueError if the blobs do not fit or overlap, or a split is empty."""
    largest, sizes = res - BLOB - SPREAD, (train, validation, test)
    if not isinstance(distance, int) or not BLOB <= distance <= largest:
        raise ValueError(f"farpair at {res} px: distance {distance} is not an integer from {BLOB} to {largest}")
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(f"farpair: sizes {sizes} are not positive integers")


def generate(count: int, res: int, distance: int, draw: np.random.Generator) -> Arrays:
    """Generate int64 images (count, res, res) in units of 1 / GRID, and labels (count,)."""
    images = np.rint(draw.normal(0, NOISE * GRID, (count, res, res))).astype(np.int64)
    equal = draw.permutation(np.arange(count) % 2)
    first = 2 * draw.integers(0, 2, count) - 1
    signs = first, first * (2 * equal - 1)
    for corner, sign in zip(corners(count, res, distance, draw), signs):
        for dy, dx in np.ndindex(BLOB, BLOB):
            images[np.arange(count), corner[:, 0] + dy, corner[:, 1] + dx] += sign * int(AMPLITUDE * GRID)
    return images, equal


def corners(count: int, res: int, distance: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the top left pixels (count, 2) of both blobs: first their offset, then a uniform position at which they fit."""
    long = draw.integers(distance, distance + SPREAD + 1, count)
    short = draw.integers(-long, long + 1)
    offsets = np.stack([long * (2 * draw.integers(0, 2, count) - 1), short], 1)
    swapped = draw.integers(0, 2, count) == 1
    offsets[swapped] = offsets[swapped, ::-1]
    first = draw.integers(np.maximum(0, -offsets), res - BLOB + 1 - np.maximum(0, offsets))
    return first, first + offsets


def standardised(splits: list[Arrays]) -> list[TensorDataset]:
    """Convert to float32 tensors (count, 1, res, res), standardised by the mean and the deviation of the first split."""
    pixels = splits[0][0]
    mean = int(pixels.sum()) / pixels.size
    deviation = math.sqrt(int((pixels**2).sum()) / pixels.size - mean**2)
    scaled = [((images - mean) / deviation).astype(np.float32)[:, None] for images, _ in splits]
    return [TensorDataset(torch.from_numpy(images), torch.from_numpy(labels)) for images, (_, labels) in zip(scaled, splits)]
