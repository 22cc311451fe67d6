"""STL-10 (Coates et al. 2011): photographs of 96 x 96 pixels, 10 classes; 4,500 train, 500 validation, 8,000 test images.

The archive of 2.6 GB also contains unlabelled images. They are not used, but torchvision requires them and verifies all files.
"""

from __future__ import annotations

from bench.data import DataSpec, Splits
from bench.data._cache import root
from bench.data._images import Kind, Source, splits

URL = "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz"


def load(spec: DataSpec) -> Splits:
    from torchvision.datasets import STL10  # imported here because it takes seconds

    train, test = (STL10(root(), split=split) for split in ("train", "test"))
    return splits(Source(train, train.labels), Source(test, test.labels), 10, spec, Kind(96))


def files() -> tuple[str, ...]:
    return tuple(f"stl10_binary/{name}.bin" for name in ("train_X", "train_y", "test_X", "test_y", "unlabeled_X"))


def fetch() -> None:
    from torchvision.datasets import STL10

    STL10(root(), download=True)
