"""Handwritten digits, as bundled with scikit-learn: 1797 images of 8x8, 10 classes, nothing to download.

A smoke test of learnability, not a comparison: most operators reach 95 to 99 %, and on 360 held-out images one standard error
is 0.7 points. The images are interpolated to the resolution of the network, so they hold no detail above 8x8, and the same writers
are in both parts.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import TensorDataset

from bench.data import Splits

TEST_SHARE = 0.2


def load(res: int, seed: int) -> Splits:
    """1437 training and 360 test images (N, 1, res, res), bilinear, standardised by the training part's mean and deviation."""
    from sklearn.datasets import load_digits  # seconds: pandas and scipy come with it

    pixels, labels = load_digits(return_X_y=True)
    images = torch.from_numpy(pixels).float().view(-1, 1, 8, 8)
    images = F.interpolate(images, (res, res), mode="bilinear", align_corners=False)
    train, test = split(labels, seed)
    images = (images - images[train].mean()) / images[train].std()
    targets = torch.from_numpy(labels).long()
    return Splits(TensorDataset(images[train], targets[train]), TensorDataset(images[test], targets[test]), 10)


def split(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and the test part: every class is shared out 80 to 20."""
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(np.arange(len(labels)), test_size=TEST_SHARE, stratify=labels, random_state=seed)
    return train, test
