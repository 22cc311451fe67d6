"""Oxford Flowers (Nilsback and Zisserman 2008): photographs, 102 classes; 1,836 train, 204 validation, 6,149 test images.

The official train and validation splits, with ten images per class each, are the training data here.
"""

from __future__ import annotations

from bench.data import DataSpec, Splits
from bench.data._cache import root
from bench.data._images import Kind, Source, splits

URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/102flowers.tgz"


def load(spec: DataSpec) -> Splits:
    from torch.utils.data import ConcatDataset
    from torchvision.datasets import Flowers102  # imported here because it takes seconds

    train, more, test = (Flowers102(root(), split=split) for split in ("train", "val", "test"))
    images = Source(ConcatDataset([train, more]), [*train._labels, *more._labels])  # torchvision has no public list of labels
    return splits(images, Source(test, test._labels), 102, spec, Kind())


def files() -> tuple[str, ...]:
    return tuple(f"flowers-102/{name}" for name in ("jpg", "imagelabels.mat", "setid.mat"))


def fetch() -> None:
    from torchvision.datasets import Flowers102

    Flowers102(root(), download=True)
