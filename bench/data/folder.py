"""Images in one folder per class, selected as folder:PATH.

If PATH contains a folder of `TRAIN` and one of `TEST`, each with one folder per class as in ImageNet, the second is the test split.
Otherwise PATH contains the classes, and a fifth of each class is the test split. A tenth of the training data is the validation
split. All splits depend only on the file names. Hidden files and folders are skipped. Results record the path and not its content,
so do not change the folder between runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.data import DataSpec, Splits
from bench.data._images import Kind, Source, splits

TRAIN = ("train", "training")
TEST = ("val", "valid", "validation", "test", "testing")  # the first that exists; in upper or lower case


def load(spec: DataSpec, path: str) -> Splits:
    """Load the splits. Raises ValueError if the folder has no classes or its subfolders have different classes."""
    own, other = subfolders(path)
    train, classes = read(own)
    if other is None:
        return splits(train, None, len(classes), spec, Kind())
    test, test_classes = read(other)
    if different := sorted({*classes} ^ {*test_classes}):
        raise ValueError(f"{path}: {own.name} and {other.name} do not have the same classes: only one has {', '.join(different)}")
    return splits(train, test, len(classes), spec, Kind())


def read(folder: Path) -> tuple[Source, list[str]]:
    """Return the images of a folder and the names of their classes.

    Raises ValueError if there are none, and if a class has only folders: they would be classes of another layout.
    """
    from torchvision.datasets.folder import IMG_EXTENSIONS as EXTENSIONS
    from torchvision.datasets.folder import ImageFolder, has_file_allowed_extension  # take seconds to import

    class VisibleImages(ImageFolder):
        """Images of all folders that are not hidden."""

        def find_classes(self, directory: Any) -> tuple[list[str], dict[str, int]]:
            classes = sorted(path.name for path in Path(directory).iterdir() if path.is_dir() and not is_hidden(path))
            if not classes:
                raise FileNotFoundError(f"Couldn't find any class folder in {directory}.")
            return classes, {name: number for number, name in enumerate(classes)}

    def is_image(file: str) -> bool:
        inside = Path(file).relative_to(folder)
        return not any(map(is_hidden, (inside, *inside.parents[:-1]))) and has_file_allowed_extension(file, EXTENSIONS)

    try:
        images = VisibleImages(folder, is_valid_file=is_image)
    except OSError as error:
        raise ValueError(" ".join(str(error).split())) from error
    for name in images.classes:
        entries = [path for path in (folder / name).iterdir() if not is_hidden(path)]
        if entries and all(path.is_dir() for path in entries):
            raise ValueError(
                f"class folder {folder / name} has only folders: give a folder with one folder per class, or name the splits"
                f" {TRAIN[0]} and {TEST[0]}"
            )
    return Source(images, images.targets), images.classes


def is_hidden(path: Path) -> bool:
    """Return True for names that programs and systems add next to images: .ipynb_checkpoints, ._x.jpg, __MACOSX."""
    return path.name.startswith(".") or path.name == "__MACOSX"


def subfolders(path: str) -> tuple[Path, Path | None]:
    """Return the folders of the training data and of the test split, or None for the latter if there is none."""
    folder = Path(path).expanduser().absolute()
    names = {child.name.lower(): child for child in folder.iterdir() if child.is_dir()} if folder.is_dir() else {}
    train, test = (next((names[name] for name in known if name in names), None) for known in (TRAIN, TEST))
    return (train, test) if train is not None and test is not None else (folder, None)


def files(path: str) -> tuple[str, ...]:
    return tuple(str(folder) for folder in subfolders(path) if folder is not None)
