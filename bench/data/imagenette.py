"""Imagenette (fast.ai, version 2): photographs of 10 easy classes of ImageNet; 8,522 to train, 947 for validation, 3,925 to test.

`size` is the shorter side of the stored images: 160px, 320px or full. The set's own validation part is the test part here.
"""

from __future__ import annotations

from bench.data import DataSpec, Splits
from bench.data._cache import root
from bench.data._images import Kind, Source, splits

FOLDERS = {"160px": "imagenette2-160", "320px": "imagenette2-320", "full": "imagenette2"}
URL = "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-160.tgz"


def load(wish: DataSpec, size: str = "160px") -> Splits:
    """Raises ValueError for a size that there is not."""
    from torchvision.datasets import Imagenette  # seconds

    files(size)
    train, test = (Imagenette(root(), split=part, size=size) for part in ("train", "val"))
    learnt, tested = ([label for _, label in part._samples] for part in (train, test))  # it has no public list of labels
    return splits(Source(train, learnt), Source(test, tested), 10, wish, Kind())


def files(size: str = "160px") -> tuple[str, ...]:
    if size not in FOLDERS:
        raise ValueError(f"imagenette: size {size!r} is not one of {', '.join(FOLDERS)}")
    return tuple(f"{FOLDERS[size]}/{part}" for part in ("train", "val"))


def fetch(size: str = "160px") -> None:
    from torchvision.datasets import Imagenette

    Imagenette(root(), size=size, download=True)
