"""Imagenette (fast.ai, version 2): photographs of 10 easy ImageNet classes; 8,522 train, 947 validation, 3,925 test images.

`size` is the shorter side of the stored images: 160px, 320px or full. The official validation split is the test split here.
"""

from __future__ import annotations

from bench.data import DataSpec, Splits
from bench.data._cache import root
from bench.data._images import Kind, Source, splits

FOLDERS = {"160px": "imagenette2-160", "320px": "imagenette2-320", "full": "imagenette2"}
URL = "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-160.tgz"


def load(spec: DataSpec, size: str = "160px") -> Splits:
    """Load the splits. Raises ValueError for an unknown size."""
    from torchvision.datasets import Imagenette  # imported here because it takes seconds

    files(size)
    train, test = (Imagenette(root(), split=split, size=size) for split in ("train", "val"))
    train_labels, test_labels = (
        [label for _, label in split._samples] for split in (train, test)
    )  # torchvision has no public list of labels
    return splits(Source(train, train_labels), Source(test, test_labels), 10, spec, Kind())


def files(size: str = "160px") -> tuple[str, ...]:
    if size not in FOLDERS:
        raise ValueError(f"imagenette: size {size!r} is not one of {', '.join(FOLDERS)}")
    return tuple(f"{FOLDERS[size]}/{split}" for split in ("train", "val"))


def fetch(size: str = "160px") -> None:
    from torchvision.datasets import Imagenette

    Imagenette(root(), size=size, download=True)
