"""Two far blobs: is the sign of one that of the other? A task of our own, not a published benchmark, for the reach of a method.

An image is Gaussian noise of deviation 0.1 with two blobs of 2 x 2 pixels, each raised or lowered by 2, whose top left corners are
`distance` to `distance` + 2 apart in the larger of their two coordinate differences (L-infinity: in Euclid's measure a square
receptive field sees further along its diagonal). Places and signs are drawn alone; the label says whether the signs are equal, and
half of each part's images are of each label.

Pixels of the two lie at least D - 1 apart for a distance D, so a receptive field of R x R pixels with R < D never holds some of
both. A linear head after a global mean then gives a logit z that is a sum, one term a blob, and the label y = +-1 is uncorrelated
with every such sum. The logistic loss is convex, hence E log(1 + exp(-yz)) >= log(1 + exp(-E yz)) = log 2, with equality for z = 0
alone: no network of so short a reach can learn anything, and training can only drive its logits to 0, where they are right half of
the time. A threshold on a sum can be right on three of the four pairs of signs, at a loss above log 2: as long as the logits have
not settled, the accuracy may be off 50 % either way (40 to 72 % in the middle of trainings that ended within two points of it).
The loss is the proof, the accuracy after a full schedule its witness. Batch norms keep to this in evaluation, where they are
affine; a nonlinear head, or a norm over the pixels of an image, does not.

Pixels are drawn from numpy's PCG64, one stream a part, and rounded to multiples of 2^-10, which hides the last bits of
mathematical libraries; the mean and the deviation are sums of whole numbers. So every machine has the same bits.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.utils.data import TensorDataset

from bench.data import SEED, DataSpec, Splits

BLOB = 2  # pixels on a side
SPREAD = 2  # distances run from `distance` to so much more
NOISE, AMPLITUDE = 0.1, 2.0
GRID = 1024  # steps in one unit of brightness

Part = tuple[np.ndarray, np.ndarray]


def load(wish: DataSpec, distance: int = 18, train: int = 4000, validation: int = 1000, test: int = 1000) -> Splits:
    """Images (1, res, res), standardised by the training part. Raises ValueError where the blobs do not fit or overlap."""
    if wish.augment != "none" or wish.erase:
        raise ValueError("farpair is not augmented")
    sizes = (train, validation, test)
    check(wish.res, distance, *sizes)
    parts = [generate(size, wish.res, distance, np.random.default_rng([SEED, part])) for part, size in enumerate(sizes)]
    learnt, chosen, tested = standardised(parts)
    return Splits(learnt, chosen, tested, classes=2, channels=1, floor=100 * ((test + 1) // 2) / test, floor_of="chance")


def check(res: int, distance: int = 18, train: int = 1, validation: int = 1, test: int = 1) -> None:
    """Raises ValueError where the blobs do not fit or overlap, or a part is empty."""
    largest, sizes = res - BLOB - SPREAD, (train, validation, test)
    if not isinstance(distance, int) or not BLOB <= distance <= largest:
        raise ValueError(f"farpair at {res} px: distance {distance} is not a whole number from {BLOB} to {largest}")
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(f"farpair: sizes {sizes} are not whole numbers above 0")


def generate(count: int, res: int, distance: int, draw: np.random.Generator) -> Part:
    """Images (count, res, res) in steps of 1 / GRID, int64, and whether their signs are equal (count,)."""
    images = np.rint(draw.normal(0, NOISE * GRID, (count, res, res))).astype(np.int64)
    equal = draw.permutation(np.arange(count) % 2)
    first = 2 * draw.integers(0, 2, count) - 1
    signs = first, first * (2 * equal - 1)
    for corner, sign in zip(corners(count, res, distance, draw), signs):
        for dy, dx in np.ndindex(BLOB, BLOB):
            images[np.arange(count), corner[:, 0] + dy, corner[:, 1] + dx] += sign * int(AMPLITUDE * GRID)
    return images, equal


def corners(count: int, res: int, distance: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Top left pixels (count, 2) of both blobs: an offset first, then a place uniformly among those where it fits."""
    long = draw.integers(distance, distance + SPREAD + 1, count)
    short = draw.integers(-long, long + 1)
    offsets = np.stack([long * (2 * draw.integers(0, 2, count) - 1), short], 1)
    swapped = draw.integers(0, 2, count) == 1
    offsets[swapped] = offsets[swapped, ::-1]
    first = draw.integers(np.maximum(0, -offsets), res - BLOB + 1 - np.maximum(0, offsets))
    return first, first + offsets


def standardised(parts: list[Part]) -> list[TensorDataset]:
    """The parts as tensors (count, 1, res, res), float32, by the mean and the deviation of the first."""
    pixels = parts[0][0]
    mean = int(pixels.sum()) / pixels.size
    deviation = math.sqrt(int((pixels**2).sum()) / pixels.size - mean**2)
    scaled = [((images - mean) / deviation).astype(np.float32)[:, None] for images, _ in parts]
    return [TensorDataset(torch.from_numpy(images), torch.from_numpy(labels)) for images, (_, labels) in zip(scaled, parts)]
