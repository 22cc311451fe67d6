"""Pathfinder (Linsley et al. 2018, https://arxiv.org/abs/1805.08315): are two markers on the ends of the same dashed curve?

An image contains two contours of `length` paddles, shorter distractors, and two discs on tips of contours. The settings for 32, 64
and 128 pixels are those of the Long Range Arena (https://arxiv.org/abs/2011.04006; 128 is its Path-X). Its networks process the
pixels as a sequence, so its results are not comparable with those of two-dimensional networks here. As there, the images of 32
pixels are crowded.

The images are generated locally from the published description. The generator differs from the published one as follows. Positions
are not restricted to pixels. A contour in a dead end is shortened instead of restarted. The four tips are far enough apart for one
marker each. Distractors have a third of a contour's paddles (at least two), and their number follows from the total of the setting.
Image i of split p depends only on (seed, p, i) and is computed in integers, so that it is identical on every machine. A data set is
generated once, on all cores (12 to 40 ms per image and core), and cached in the folder LKB_CACHE, else ~/.cache/large-kernel-bench.

For short contours, the distance of the markers predicts the label. Therefore `trivial_accuracy` is that of a classifier that
receives only the two positions: at 32 pixels 83% for length 4, 58% for 6 and 51% for 14; for length 14, 55% at 64 pixels and 53% at
128. The standard task needs 160,000 training images and at least 100 epochs on a GPU: set train=160000, and a --timeout that
suffices to generate them in the first job.
"""

from __future__ import annotations

import os

import numpy as np
import torch
from torch.utils.data import Dataset, TensorDataset

from bench.data import SEED, DataSpec, Splits
from bench.data._cache import Arrays, cached
from bench.data._pathfinder.image import picture
from bench.data._pathfinder.snakes import UNIT, Scene, Shape, scene
from bench.data._readers import read
from bench.spec import digest

VERSION = 1  # of the generator; increase it with every change of the images
SHAPES = {  # if a resolution has several, each image uses a random one
    32: (Shape(32, 2, 0.5, 1, 1.5, 7, 1.0, 1.5, 20),),
    64: (Shape(64, 5, 1.0, 1, 2.5, 12, 1.8, 0.8, 22),),
    128: (Shape(128, 5, 1.5, 2, 3.0, 20, 1.8, 0.9, 35), Shape(128, 5, 1.5, 3, 3.0, 20, 1.8, 0.9, 35)),
}
LONGEST = 18  # paddles; longer contours rarely fit
CHUNK = 64  # images per batch of a process


def load(spec: DataSpec, length: int = 14, train: int = 20000, validation: int = 2000, test: int = 2000) -> Splits:
    """Return images (1, res, res), standardised by the train split.

    Raises ValueError for an unsupported resolution or length, or for augmentation.
    """
    if spec.augment != "none" or spec.erase:
        raise ValueError("pathfinder does not support augmentation: use augment=none and erase=0")
    if spec.res not in SHAPES:
        raise ValueError(f"pathfinder supports {', '.join(map(str, SHAPES))} px, not {spec.res}")
    if not isinstance(length, int) or not 2 <= length <= LONGEST:
        raise ValueError(f"pathfinder: length {length} is not an integer from 2 to {LONGEST}")
    sizes = (train, validation, test)
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(f"pathfinder: sizes {sizes} are not positive integers")
    setting = {"version": VERSION, "seed": SEED, "shapes": SHAPES[spec.res], "length": length}
    splits = [
        cached(
            f"pathfinder-{spec.res}-{digest({**setting, 'part': split, 'size': size})}",
            Generated(spec.res, length, split, size).arrays,
        )
        for split, size in enumerate(sizes)
    ]
    name = f"pathfinder-{spec.res}-floor-{digest({**setting, 'train': train, 'test': test})}"
    markers = float(cached(name, lambda: {"floor": np.array(accuracy_from_markers(splits[0], splits[2]))})["floor"])
    train_split, validation_split, test_split = standardised(splits)
    return Splits(
        train_split,
        validation_split,
        test_split,
        classes=2,
        channels=1,
        trivial_accuracy=markers,
        trivial_predictor="markers alone",
    )


def image(res: int, length: int, split: int, index: int) -> Scene:
    """Generate the scene of one image."""
    draw = np.random.default_rng([SEED, split, index])
    shapes = SHAPES[res]
    return scene(shapes[draw.integers(len(shapes))], length, draw)


class Generated(Dataset):
    """The generated images of a split: image (res, res) uint8, label, positions of the markers (2, 2) in pixels."""

    def __init__(self, res: int, length: int, split: int, size: int):
        self.key, self.size = (res, length, split), size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[np.ndarray, int, np.ndarray]:
        generated = image(*self.key, index)
        return picture(generated), generated.label, generated.tips() / UNIT

    def arrays(self) -> Arrays:
        """Generate all images, with one process per core if there are many."""
        processes = (os.cpu_count() or 1) if self.size > 4 * CHUNK else 0
        images, labels, tips = zip(*read(self, processes, batch_size=CHUNK))
        return {"images": torch.cat(images).numpy(), "labels": torch.cat(labels).numpy(), "tips": torch.cat(tips).numpy()}


def standardised(splits: list[Arrays]) -> list[TensorDataset]:
    """Convert to float32 tensors (N, 1, res, res), standardised by the first split. The sums are computed in integers."""
    counts = np.bincount(splits[0]["images"].ravel(), minlength=256)
    values = np.arange(256)
    mean = int(counts @ values) / int(counts.sum())
    deviation = (int(counts @ values**2) / int(counts.sum()) - mean**2) ** 0.5
    table = torch.from_numpy(((values - mean) / deviation).astype(np.float32))
    return [
        TensorDataset(table[torch.from_numpy(split["images"])[:, None].int()], torch.from_numpy(split["labels"]))
        for split in splits
    ]


def accuracy_from_markers(train: Arrays, test: Arrays) -> float:
    """Return the test accuracy in percent, at least 50, of gradient boosting on the positions of the markers and their distance."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # imported here because it takes seconds

    train_features, test_features = (features(split["tips"]) for split in (train, test))
    booster = HistGradientBoostingClassifier(random_state=SEED).fit(train_features, train["labels"])
    return max(50.0, 100 * float(booster.score(test_features, test["labels"])))


def features(tips: np.ndarray) -> np.ndarray:
    """Return the features (N, 5) of the positions of the markers (N, 2, 2)."""
    return np.concatenate([tips.reshape(-1, 4), np.linalg.norm(tips[:, 0] - tips[:, 1], axis=1, keepdims=True)], 1)
