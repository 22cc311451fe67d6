"""Handwritten digits, bundled with scikit-learn: 1,797 images of 8 x 8 pixels, 10 classes; no download.

A sanity check that is too easy to rank methods: most operators reach 95 to 99%, and one standard error on the 360 test images is
0.7 percentage points. The images are interpolated to the requested resolution and contain no detail beyond 8 x 8 pixels. All splits
contain the same writers.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import TensorDataset

from bench.data import SEED, DataSpec, Splits

SHARE = 0.2  # of the images for the test split, and of the others for the validation split


def load(spec: DataSpec) -> Splits:
    """Return 1,149 train, 288 validation and 360 test images (1, res, res), bilinear, standardised by the train split."""
    from sklearn.datasets import load_digits  # imported here because it takes seconds: it loads pandas and scipy

    if spec.augment != "none" or spec.erase:
        raise ValueError("digits do not support augmentation: use augment=none and erase=0")
    pixels, labels = load_digits(return_X_y=True)
    images = torch.from_numpy(pixels).float().view(-1, 1, 8, 8)
    images = F.interpolate(images, (spec.res, spec.res), mode="bilinear", align_corners=False)
    indices = split(labels, SEED)
    mean, deviation = images[indices[0]].mean(), images[indices[0]].std()
    targets = torch.from_numpy(labels).long()
    train, validation, test = (TensorDataset((images[own] - mean) / deviation, targets[own]) for own in indices)
    return Splits(train, validation, test, 10, 1, 100 * float(np.bincount(labels[indices[2]]).max()) / len(indices[2]))


def split(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the indices of the train, validation and test splits, stratified by class."""
    from sklearn.model_selection import train_test_split

    rest, test = train_test_split(np.arange(len(labels)), test_size=SHARE, stratify=labels, random_state=seed)
    train, validation = train_test_split(rest, test_size=SHARE, stratify=labels[rest], random_state=seed)
    return train, validation, test
