"""EuroSAT (Helber et al. 2019): satellite images of 64 x 64 pixels, 10 classes of land cover; without official splits.

A fifth of each class is the test split and a tenth of the remaining images the validation split. Both are fixed.
"""

from __future__ import annotations

from bench.data import DataSpec, Splits
from bench.data._cache import root
from bench.data._images import Kind, Source, splits

URL = "https://huggingface.co/datasets/torchgeo/eurosat"


def load(spec: DataSpec) -> Splits:
    from torchvision.datasets import EuroSAT  # imported here because it takes seconds

    images = EuroSAT(root())
    return splits(Source(images, images.targets), None, 10, spec, Kind(64))


def files() -> tuple[str, ...]:
    return ("eurosat/2750",)


def fetch() -> None:
    from torchvision.datasets import EuroSAT

    EuroSAT(root(), download=True)
