"""Handwritten digits, as bundled with scikit-learn: 1797 images of 8x8, 10 classes, nothing to download.

A smoke test of learnability, not a comparison: most operators reach 95 to 99 %, and on 360 held-out images one standard error
is 0.7 points. The images are interpolated to the resolution of the network, so they hold no detail above 8x8, and the same writers
are in all parts.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import TensorDataset

from bench.data import SEED, DataSpec, Splits

SHARE = 0.2  # of the images that are held out for the test, and of the rest for validation


def load(wish: DataSpec) -> Splits:
    """1149 training, 288 validation and 360 test images (1, res, res), bilinear, standardised by the training part."""
    from sklearn.datasets import load_digits  # seconds: pandas and scipy come with it

    if wish.augment != "none" or wish.erase:
        raise ValueError("digits are not augmented")
    pixels, labels = load_digits(return_X_y=True)
    images = torch.from_numpy(pixels).float().view(-1, 1, 8, 8)
    images = F.interpolate(images, (wish.res, wish.res), mode="bilinear", align_corners=False)
    parts = split(labels, SEED)
    mean, deviation = images[parts[0]].mean(), images[parts[0]].std()
    targets = torch.from_numpy(labels).long()
    train, validation, test = (TensorDataset((images[part] - mean) / deviation, targets[part]) for part in parts)
    return Splits(train, validation, test, 10, 1, 100 * float(np.bincount(labels[parts[2]]).max()) / len(parts[2]))


def split(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of the training, validation and test parts; every class is shared out alike."""
    from sklearn.model_selection import train_test_split

    rest, test = train_test_split(np.arange(len(labels)), test_size=SHARE, stratify=labels, random_state=seed)
    train, validation = train_test_split(rest, test_size=SHARE, stratify=labels[rest], random_state=seed)
    return train, validation, test
