"""What the sets of natural images share: their parts and how an image becomes a tensor. No torch before a set is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bench.data import SEED, DataSpec, Splits

if TYPE_CHECKING:
    from torch import Tensor

VALIDATION, TEST = 0.1, 0.2  # shares of each class that are split from the training data, and from sets without a test part
SMALL = 64  # pixels: images of fewer are shifted, not zoomed
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
ZOOM = 0.875  # share of a photograph's shorter side that evaluation sees

Transform = Callable[[Any], "Tensor"]


class Kind(NamedTuple):
    """Images of a set: pixels on a side where all are square and equal, else None; mean and deviation of the channels."""

    side: int | None = None
    mean: tuple[float, ...] = IMAGENET[0]
    deviation: tuple[float, ...] = IMAGENET[1]


class Source(NamedTuple):
    """Pairs of a PIL image and a label, by index; and the labels alone, in the same order."""

    images: Any
    labels: Sequence[int]


class Part:
    """Some images of a source as tensors (3, res, res), float32, with their labels: a map-style data set."""

    def __init__(self, source: Source, indices: np.ndarray, transform: Transform):
        self.images, self.indices, self.transform = source.images, indices, transform

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.images[int(self.indices[index])]
        return self.transform(image), int(label)


def splits(train: Source, test: Source | None, classes: int, wish: DataSpec, kind: Kind) -> Splits:
    """Training and validation parts of `train`, and `test`, or a part of `train` too where there is none."""
    learnt = np.arange(len(train.labels))
    if test is None:
        source, (learnt, tested) = train, held_out(train.labels, learnt, TEST)
    else:
        source, tested = test, np.arange(len(test.labels))
    learnt, chosen = held_out(train.labels, learnt, VALIDATION)
    if not len(learnt) or not len(chosen) or not len(tested):
        raise ValueError(f"too few images: {len(learnt)} to train, {len(chosen)} for validation, {len(tested)} to test")
    plain = evaluation(wish.res, kind)
    counts = np.bincount(np.asarray(source.labels)[tested])
    trained: Any = Part(train, learnt, augmented(wish, kind) if wish.augment != "none" or wish.erase else plain)
    validation: Any = Part(train, chosen, plain)
    final: Any = Part(source, tested, plain)
    return Splits(trained, validation, final, classes, 3, 100 * float(counts.max()) / len(tested))


def held_out(labels: Sequence[int], indices: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """`indices` without this share of every class, and the share, both in order; of a class of two or more, one at least."""
    draw = np.random.default_rng(SEED)
    own = np.asarray(labels)[indices]
    taken = np.zeros(len(indices), bool)
    for label in np.unique(own):
        members = draw.permutation(np.flatnonzero(own == label))
        taken[members[: max(round(share * len(members)), min(1, len(members) - 1))]] = True
    return indices[~taken], indices[taken]


def evaluation(res: int, kind: Kind) -> Transform:
    """Nothing at random: square images resized, the middle of photographs; at every `res` the same section."""
    from timm.data import create_transform  # type: ignore[attr-defined]  # seconds; timm marks no exports

    zoom = 1.0 if kind.side else ZOOM
    return create_transform(res, crop_pct=zoom, interpolation="bicubic", mean=kind.mean, std=kind.deviation)


def augmented(wish: DataSpec, kind: Kind) -> Transform:
    """timm's training transform: "flip", or the name of one of its policies, which flips too.

    Small images are moved by up to an eighth instead of cropped at random scales, as is usual for CIFAR.
    """
    from timm.data import create_transform  # type: ignore[attr-defined]
    from timm.data.random_erasing import RandomErasing
    from torchvision.transforms import Compose, RandomCrop, RandomHorizontalFlip, Resize

    if wish.augment == "none":
        return Compose([evaluation(wish.res, kind), RandomErasing(wish.erase, device="cpu")])
    try:
        crop, policy, finish = create_transform(
            wish.res,
            is_training=True,
            separate=True,
            color_jitter=None,  # type: ignore[arg-type]
            auto_augment=None if wish.augment == "flip" else wish.augment,
            re_prob=wish.erase,
            interpolation="bicubic",
            mean=kind.mean,
            std=kind.deviation,
        )
    except (AssertionError, KeyError, ValueError) as error:  # whatever timm makes of an unknown policy
        raise ValueError(f"augment {wish.augment!r} is neither none nor flip nor a policy of timm") from error
    if kind.side and kind.side < SMALL:
        crop = Compose(
            [Resize((wish.res, wish.res), 3), RandomCrop(wish.res, padding=max(1, wish.res // 8)), RandomHorizontalFlip()]
        )
    return Compose([crop, policy, finish])
