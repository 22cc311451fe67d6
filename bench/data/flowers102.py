"""Oxford Flowers (Nilsback and Zisserman 2008): photographs of 102 kinds; 1,836 to train, 204 for validation, 6,149 to test.

The set's own training and validation parts, ten images a class each, are the training data here.
"""

from __future__ import annotations

from bench.data import DataSpec, Splits
from bench.data._cache import root
from bench.data._images import Kind, Source, splits

URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/102flowers.tgz"


def load(wish: DataSpec) -> Splits:
    from torch.utils.data import ConcatDataset
    from torchvision.datasets import Flowers102  # seconds

    train, more, test = (Flowers102(root(), split=part) for part in ("train", "val", "test"))
    images = Source(ConcatDataset([train, more]), [*train._labels, *more._labels])  # it has no public list of labels
    return splits(images, Source(test, test._labels), 102, wish, Kind())


def files() -> tuple[str, ...]:
    return tuple(f"flowers-102/{name}" for name in ("jpg", "imagelabels.mat", "setid.mat"))


def fetch() -> None:
    from torchvision.datasets import Flowers102

    Flowers102(root(), download=True)
