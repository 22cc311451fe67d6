"""EuroSAT (Helber et al. 2019): satellite images of 64 x 64 pixels, 10 kinds of land; it has no parts of its own.

A fifth of each class is the test part and a tenth of the rest the validation part, always the same.
"""

from __future__ import annotations

from bench.data import DataSpec, Splits
from bench.data._cache import root
from bench.data._images import Kind, Source, splits

URL = "https://huggingface.co/datasets/torchgeo/eurosat"


def load(wish: DataSpec) -> Splits:
    from torchvision.datasets import EuroSAT  # seconds

    images = EuroSAT(root())
    return splits(Source(images, images.targets), None, 10, wish, Kind(64))


def files() -> tuple[str, ...]:
    return ("eurosat/2750",)


def fetch() -> None:
    from torchvision.datasets import EuroSAT

    EuroSAT(root(), download=True)
