"""Pathfinder (Linsley et al. 2018, https://arxiv.org/abs/1805.08315): do two markers lie on the ends of one dashed curve?

Two contours of `length` paddles and shorter distractors wind through the image, and two discs lie on tips of contours. The settings
of 32, 64 and 128 pixels are those of the Long Range Arena (https://arxiv.org/abs/2011.04006; 128 is its Path-X), where networks see
the pixels as one row: results there do not compare with those of two-dimensional networks here. Its 32 is crowded, as there.

The images are drawn by a generator of our own from its description. It differs from the published one in this: places are not tied
to pixels, a contour at a dead end backs out instead of beginning anew, the four tips keep room for a marker each, and distractors
have a third of a contour's paddles (two at least), as many as the setting's total allows. Image i of part p depends on (seed, p, i)
alone, in whole numbers throughout: every machine has the same bits. A set is made once, by all cores (12 to 40 ms an image and
core), and kept in the folder that LKB_CACHE names, else in ~/.cache/large-kernel-bench.

Short contours leak: the distance of the markers tells much of the answer. So `floor` is what a classifier makes of the two places
alone: at 32 pixels 83 % for length 4, 58 % for 6, 51 % for 14; for 14 at 64 pixels 55 %, at 128 53 %. The accepted task needs
160,000 training images and 100 epochs or more, on a GPU: ask for train=160000, and for a --timeout in which the first job can draw
them.
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

VERSION = 1  # of the generator: to be raised with every change of its images
SHAPES = {  # where there are several for a resolution, each image draws one
    32: (Shape(32, 2, 0.5, 1, 1.5, 7, 1.0, 1.5, 20),),
    64: (Shape(64, 5, 1.0, 1, 2.5, 12, 1.8, 0.8, 22),),
    128: (Shape(128, 5, 1.5, 2, 3.0, 20, 1.8, 0.9, 35), Shape(128, 5, 1.5, 3, 3.0, 20, 1.8, 0.9, 35)),
}
LONGEST = 18  # paddles: longer ones seldom find room
CHUNK = 64  # images that a process draws at a time


def load(wish: DataSpec, length: int = 14, train: int = 20000, validation: int = 2000, test: int = 2000) -> Splits:
    """Images (1, res, res), standardised by the training part. Raises ValueError for a resolution or length that is not drawn."""
    if wish.augment != "none" or wish.erase:
        raise ValueError("pathfinder is not augmented")
    if wish.res not in SHAPES:
        raise ValueError(f"pathfinder is drawn at {', '.join(map(str, SHAPES))} px, not at {wish.res}")
    if not isinstance(length, int) or not 2 <= length <= LONGEST:
        raise ValueError(f"pathfinder: length {length} is not a whole number from 2 to {LONGEST}")
    sizes = (train, validation, test)
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(f"pathfinder: sizes {sizes} are not whole numbers above 0")
    setting = {"version": VERSION, "seed": SEED, "shapes": SHAPES[wish.res], "length": length}
    parts = [
        cached(
            f"pathfinder-{wish.res}-{digest({**setting, 'part': part, 'size': size})}", Drawn(wish.res, length, part, size).arrays
        )
        for part, size in enumerate(sizes)
    ]
    name = f"pathfinder-{wish.res}-floor-{digest({**setting, 'train': train, 'test': test})}"
    floor = cached(name, lambda: {"floor": np.array(markers_alone(parts[0], parts[2]))})
    learnt, chosen, tested = standardised(parts)
    return Splits(learnt, chosen, tested, classes=2, channels=1, floor=float(floor["floor"]), floor_of="markers alone")


def image(res: int, length: int, part: int, index: int) -> Scene:
    """What one image shows."""
    draw = np.random.default_rng([SEED, part, index])
    shapes = SHAPES[res]
    return scene(shapes[draw.integers(len(shapes))], length, draw)


class Drawn(Dataset):
    """The images of a part as they are drawn: (res, res) uint8, label, markers (2, 2) in pixels."""

    def __init__(self, res: int, length: int, part: int, size: int):
        self.of, self.size = (res, length, part), size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[np.ndarray, int, np.ndarray]:
        found = image(*self.of, index)
        return picture(found), found.label, found.tips() / UNIT

    def arrays(self) -> Arrays:
        """All of them, drawn by a process a core where they are many."""
        processes = (os.cpu_count() or 1) if self.size > 4 * CHUNK else 0
        images, labels, tips = zip(*read(self, processes, batch_size=CHUNK))
        return {"images": torch.cat(images).numpy(), "labels": torch.cat(labels).numpy(), "tips": torch.cat(tips).numpy()}


def standardised(parts: list[Arrays]) -> list[TensorDataset]:
    """The parts as tensors (N, 1, res, res), float32, by the mean and the deviation of the first, from whole-number sums."""
    counts = np.bincount(parts[0]["images"].ravel(), minlength=256)
    values = np.arange(256)
    mean = int(counts @ values) / int(counts.sum())
    deviation = (int(counts @ values**2) / int(counts.sum()) - mean**2) ** 0.5
    table = torch.from_numpy(((values - mean) / deviation).astype(np.float32))
    return [
        TensorDataset(table[torch.from_numpy(part["images"])[:, None].int()], torch.from_numpy(part["labels"])) for part in parts
    ]


def markers_alone(train: Arrays, test: Arrays) -> float:
    """Test accuracy in percent of gradient boosting that is told the two places and their distance, 50 at least."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # seconds

    seen, unseen = (told(part["tips"]) for part in (train, test))
    booster = HistGradientBoostingClassifier(random_state=SEED).fit(seen, train["labels"])
    return max(50.0, 100 * float(booster.score(unseen, test["labels"])))


def told(tips: np.ndarray) -> np.ndarray:
    """Features (N, 5) of marker places (N, 2, 2)."""
    return np.concatenate([tips.reshape(-1, 4), np.linalg.norm(tips[:, 0] - tips[:, 1], axis=1, keepdims=True)], 1)
