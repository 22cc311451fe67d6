"""Images in one folder per class, selected as folder:PATH.

If PATH contains `train` and `val` (or `test`), each with one folder per class as in ImageNet, the second is the test split.
Otherwise PATH contains the classes, and a fifth of each class is the test split. A tenth of the training data is the validation
split. All splits depend only on the file names. Results record the path and not its content, so do not change the folder between
runs.
"""

from __future__ import annotations

from pathlib import Path

from bench.data import DataSpec, Splits
from bench.data._images import Kind, Source, splits


def load(spec: DataSpec, path: str) -> Splits:
    """Load the splits. Raises ValueError if the folder has no classes or its subfolders have different classes."""
    own, other = subfolders(path)
    train, classes = read(own)
    if other is None:
        return splits(train, None, len(classes), spec, Kind())
    test, test_classes = read(other)
    if test_classes != classes:
        raise ValueError(f"{path}: the train and test folders do not have the same classes")
    return splits(train, test, len(classes), spec, Kind())


def read(folder: Path) -> tuple[Source, list[str]]:
    """Return the images of a folder and the names of their classes. Raises ValueError if there are none."""
    from torchvision.datasets import ImageFolder  # imported here because it takes seconds

    try:
        images = ImageFolder(folder)
    except OSError as error:
        raise ValueError(" ".join(str(error).split())) from error
    return Source(images, images.targets), images.classes


def subfolders(path: str) -> tuple[Path, Path | None]:
    """Return the folders of the training data and of the test split, or None for the latter if there is none."""
    folder = Path(path).expanduser().absolute()
    train = folder / "train"
    test = next((folder / name for name in ("val", "test") if (folder / name).is_dir()), None)
    return (train, test) if train.is_dir() and test is not None else (folder, None)


def files(path: str) -> tuple[str, ...]:
    return tuple(str(folder) for folder in subfolders(path) if folder is not None)
