"""Splits and transforms shared by the data sets of natural images. Imports no torch before a data set is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bench.data import SEED, DataSpec, Splits

if TYPE_CHECKING:
    from torch import Tensor

VALIDATION, TEST = 0.1, 0.2  # shares of each class: of the training data, and of data sets without a test split
SMALL = 64  # pixels; smaller images are shifted and not cropped at random scales
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
ZOOM = 0.875  # share of the shorter side that the evaluation crop covers

Transform = Callable[[Any], "Tensor"]


class Kind(NamedTuple):
    """The images of a data set: side length in pixels if all are square and equal, else None; mean and deviation per channel."""

    side: int | None = None
    mean: tuple[float, ...] = IMAGENET[0]
    deviation: tuple[float, ...] = IMAGENET[1]


class Source(NamedTuple):
    """Pairs of a PIL image and a label by index, and the labels in the same order."""

    images: Any
    labels: Sequence[int]


class Subset:
    """A map-style data set of some images of a source, as float32 tensors (3, res, res), and their labels."""

    def __init__(self, source: Source, indices: np.ndarray, transform: Transform):
        self.images, self.indices, self.transform = source.images, indices, transform

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.images[int(self.indices[index])]
        return self.transform(image), int(label)


def splits(train: Source, test: Source | None, classes: int, spec: DataSpec, kind: Kind) -> Splits:
    """Split `train` into train and validation splits, and also into a test split if `test` is None.

    Raises ValueError if a split would be empty.
    """
    train_indices = np.arange(len(train.labels))
    if test is None:
        source, (train_indices, test_indices) = train, held_out(train.labels, train_indices, TEST)
    else:
        source, test_indices = test, np.arange(len(test.labels))
    train_indices, validation_indices = held_out(train.labels, train_indices, VALIDATION)
    if not len(train_indices) or not len(validation_indices) or not len(test_indices):
        raise ValueError(
            f"too few images: {len(train_indices)} train, {len(validation_indices)} validation, {len(test_indices)} test"
        )
    plain = evaluation(spec.res, kind)
    counts = np.bincount(np.asarray(source.labels)[test_indices])
    trained: Any = Subset(train, train_indices, augmented(spec, kind) if spec.augment != "none" or spec.erase else plain)
    validation: Any = Subset(train, validation_indices, plain)
    final: Any = Subset(source, test_indices, plain)
    return Splits(trained, validation, final, classes, 3, 100 * float(counts.max()) / len(test_indices))


def held_out(labels: Sequence[int], indices: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Split `indices` into the rest and a `share` of every class, at least one image of classes with two or more; both sorted."""
    draw = np.random.default_rng(SEED)
    own = np.asarray(labels)[indices]
    taken = np.zeros(len(indices), bool)
    for label in np.unique(own):
        members = draw.permutation(np.flatnonzero(own == label))
        taken[members[: max(round(share * len(members)), min(1, len(members) - 1))]] = True
    return indices[~taken], indices[taken]


def evaluation(res: int, kind: Kind) -> Transform:
    """Return the evaluation transform: resize square images, centre-crop photographs. The crop is the same at every `res`."""
    from timm.data import create_transform  # type: ignore[attr-defined]  # a slow import; timm does not declare its exports

    zoom = 1.0 if kind.side else ZOOM
    return create_transform(res, crop_pct=zoom, interpolation="bicubic", mean=kind.mean, std=kind.deviation)


def augmented(spec: DataSpec, kind: Kind) -> Transform:
    """Return timm's training transform: "flip", or one of timm's policies, which also flip.

    Small images are shifted by up to an eighth instead of cropped at random scales, as is usual for CIFAR. Raises ValueError for an
    unknown policy.
    """
    from timm.data import create_transform  # type: ignore[attr-defined]
    from timm.data.random_erasing import RandomErasing
    from torchvision.transforms import Compose, RandomCrop, RandomHorizontalFlip, Resize

    if spec.augment == "none":
        return Compose([evaluation(spec.res, kind), RandomErasing(spec.erase, device="cpu")])
    try:
        crop, policy, finish = create_transform(
            spec.res,
            is_training=True,
            separate=True,
            color_jitter=None,  # type: ignore[arg-type]
            auto_augment=None if spec.augment == "flip" else spec.augment,
            re_prob=spec.erase,
            interpolation="bicubic",
            mean=kind.mean,
            std=kind.deviation,
        )
    except (AssertionError, KeyError, ValueError) as error:  # timm's reactions to an unknown policy
        raise ValueError(f"augment {spec.augment!r} is not none, flip or a policy of timm") from error
    if kind.side and kind.side < SMALL:
        crop = Compose(
            [Resize((spec.res, spec.res), 3), RandomCrop(spec.res, padding=max(1, spec.res // 8)), RandomHorizontalFlip()]
        )
    return Compose([crop, policy, finish])
