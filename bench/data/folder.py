"""Any images in a folder for each class, asked for as folder:PATH.

Where PATH holds `train` and `val` (or `test`), each with a folder a class, as ImageNet is laid out, the second is the test part;
else PATH holds the classes, and a fifth of each is the test part. A tenth of the training data is the validation part. All
splits are fixed by the files' names. Rows name the path, not what lies there: a folder should not change between runs.
"""

from __future__ import annotations

from pathlib import Path

from bench.data import DataSpec, Splits
from bench.data._images import Kind, Source, splits


def load(wish: DataSpec, path: str) -> Splits:
    """Raises ValueError where the folder holds no classes, or its parts not the same ones."""
    own, other = parts(path)
    train, classes = read(own)
    if other is None:
        return splits(train, None, len(classes), wish, Kind())
    test, same = read(other)
    if same != classes:
        raise ValueError(f"{path}: its parts do not have the same classes")
    return splits(train, test, len(classes), wish, Kind())


def read(part: Path) -> tuple[Source, list[str]]:
    """The images of a folder and the names of their classes."""
    from torchvision.datasets import ImageFolder  # seconds

    try:
        images = ImageFolder(part)
    except OSError as error:
        raise ValueError(" ".join(str(error).split())) from error
    return Source(images, images.targets), images.classes


def parts(path: str) -> tuple[Path, Path | None]:
    """The folders of the training data and of the test part, if it has one of its own."""
    folder = Path(path).expanduser().absolute()
    train = folder / "train"
    test = next((folder / name for name in ("val", "test") if (folder / name).is_dir()), None)
    return (train, test) if train.is_dir() and test is not None else (folder, None)


def files(path: str) -> tuple[str, ...]:
    return tuple(str(part) for part in parts(path) if part is not None)
