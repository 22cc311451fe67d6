"""CIFAR-100 (Krizhevsky 2009): photographs of 32 x 32 pixels, 100 classes; 45,000 train, 5,000 validation, 10,000 test images."""

from __future__ import annotations

from bench.data import DataSpec, Splits
from bench.data._cache import root
from bench.data._images import Kind, Source, splits

URL = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
KIND = Kind(32, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))


def load(spec: DataSpec) -> Splits:
    from torchvision.datasets import CIFAR100  # imported here because it takes seconds

    train, test = (CIFAR100(root(), train=is_train) for is_train in (True, False))
    return splits(Source(train, train.targets), Source(test, test.targets), 100, spec, KIND)


def files() -> tuple[str, ...]:
    return ("cifar-100-python/train", "cifar-100-python/test")


def fetch() -> None:
    from torchvision.datasets import CIFAR100

    CIFAR100(root(), download=True)
