"""CIFAR-10 (Krizhevsky 2009): photographs of 32 x 32 pixels, 10 classes; 45,000 train, 5,000 validation, 10,000 test images."""

from __future__ import annotations

from bench.data import DataSpec, Splits
from bench.data._cache import root
from bench.data._images import Kind, Source, splits

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
KIND = Kind(32, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))


def load(spec: DataSpec) -> Splits:
    from torchvision.datasets import CIFAR10  # imported here because it takes seconds

    train, test = (CIFAR10(root(), train=is_train) for is_train in (True, False))
    return splits(Source(train, train.targets), Source(test, test.targets), 10, spec, KIND)


def files() -> tuple[str, ...]:
    return (*(f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)), "cifar-10-batches-py/test_batch")


def fetch() -> None:
    from torchvision.datasets import CIFAR10

    CIFAR10(root(), download=True)
