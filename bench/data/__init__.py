"""One file per data set, named after it: `load(spec, **options)` returns its `Splits`. Listing the data sets imports no torch.

A data set is selected as NAME or NAME[option=value,...], or as NAME:PATH if its files may be anywhere. Modules that read files have
`files(**options)`, which returns the required paths, and import no torch at the top. Modules that can download them also have
`fetch` and `URL`. All choices use the validation split, which is taken from the training data. The test split is evaluated once,
after training.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import socket
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from bench.data._cache import root
from bench.names import parse

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    Images: TypeAlias = "Dataset[Any]"  # pairs of an image and a label

CONNECT_SECONDS = 5.0  # seconds to wait for a server
SEED = 0  # of all splits and generated data sets, independent of the seed of a training


class DataSpec(NamedTuple):
    """The requested resolution and augmentation. Data sets that do not support augmentation raise ValueError."""

    res: int
    augment: str = "none"
    erase: float = 0.0


class Splits(NamedTuple):
    """Train, validation and test splits: pairs of an image (C, res, res) and a label from 0 to classes - 1.

    Images are float32 and standardised by the train split. In-memory data sets are TensorDatasets, others are map-style data sets.
    `trivial_accuracy` is the test accuracy in percent of a trivial predictor, the largest class or a shortcut, which
    `trivial_predictor` names.
    """

    train: Images
    validation: Images
    test: Images
    classes: int
    channels: int
    trivial_accuracy: float
    trivial_predictor: str = "largest class"


def names() -> list[str]:
    """Return the names of all data sets."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.py") if not file.stem.startswith("_"))


def summaries() -> dict[str, str]:
    """Return the first line of the docstring of each data set, without importing it."""
    return {name: (ast.get_docstring(_tree(name)) or "").partition("\n")[0] for name in names()}


class DataSet:
    """The data set NAME[option=value,...], or NAME:PATH[option=value,...]. Imports no torch before `load`."""

    def __init__(self, text: str):
        """Read a name. Raises ValueError for an unknown name or option."""
        name, options = parse(text)
        self.text, self.options = text, dict(options)
        self.name, _, self.path = name.partition(":")
        if self.name not in names():
            raise ValueError(f"unknown data set '{self.name}' (known: {', '.join(names())})")
        self.functions = {node.name: node for node in _tree(self.name).body if isinstance(node, ast.FunctionDef)}
        known = [argument.arg for argument in self.functions["load"].args.args[1:]]
        if unknown := [option for option in self.options if option not in known]:
            raise ValueError(f"data set '{text}' has no option '{unknown[0]}' (options: {', '.join(known) or 'none'})")

    @property
    def module(self) -> Any:
        return importlib.import_module(f"bench.data.{self.name}")

    def load(self, spec: DataSpec) -> Splits:
        """Load the splits. Raises ValueError for a resolution, augmentation or option value that is not supported."""
        splits: Splits = self._call("load", spec)
        return splits

    def missing(self) -> str | None:
        """Return an error message if a file is missing, else None."""
        if "files" not in self.functions:
            return None
        absent = next((path for path in (root() / file for file in self._call("files")) if not path.exists()), None)
        if absent is None:
            return None
        message = f"data set '{self.text}' is missing: {absent} does not exist"
        return f"{message}; give --download to download it, or put it there" if "fetch" in self.functions else message

    def check(self, res: int) -> None:
        """Raise ValueError if res x res pixels are not supported with these options."""
        if "check" in self.functions:
            self._call("check", res)

    def fetch(self) -> None:
        """Download the missing files. Does nothing if the data set has no URL. Raises OSError if the download fails."""
        if self.missing() is None or "fetch" not in self.functions:
            return
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(CONNECT_SECONDS)
        try:
            _check_server(self.module.URL)  # before imports that take seconds
            self._call("fetch")
        except (OSError, RuntimeError) as error:
            raise OSError(f"data set '{self.text}' could not be downloaded to {root()}: {error}") from error
        finally:
            socket.setdefaulttimeout(before)

    def _call(self, function: str, *args: Any) -> Any:
        """Call a function of the module with `args`, the path after a colon if any, and the options."""
        call, positional = getattr(self.module, function), [*args, *filter(None, [self.path])]
        try:
            inspect.signature(call).bind(*positional, **self.options)
        except TypeError as error:
            raise ValueError(f"data set '{self.text}': {error}") from error
        return call(*positional, **self.options)


def require(texts: Iterable[str], res: int, download: bool) -> None:
    """Check that the data sets exist for images of `res` pixels, after downloading them if `download` is set.

    Raises ValueError for an unknown or missing set or an unsupported resolution, and OSError if a download fails.
    """
    for dataset in map(DataSet, texts):
        if download:
            dataset.fetch()
        if reason := dataset.missing():
            raise ValueError(reason)
        dataset.check(res)


def _tree(name: str) -> ast.Module:
    return ast.parse(Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8"))


def _check_server(url: str) -> None:
    """Raise OSError if no server answers. An HTTP error counts as an answer."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD")).close()
    except urllib.error.HTTPError:
        return
