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


def load(text: str, spec: DataSpec) -> Splits:
    """Load the splits of a data set NAME[option=value,...]. Raises ValueError for an unknown name or option."""
    splits: Splits = _call("load", text, spec)
    return splits


def missing(text: str) -> str | None:
    """Return an error message if a file of the data set is missing, else None. Imports no torch.

    Raises ValueError for an unknown name or option.
    """
    _check_options(text)
    if not _has(text, "files"):
        return None
    absent = next((path for path in (root() / file for file in _call("files", text)) if not path.exists()), None)
    if absent is None:
        return None
    message = f"data set '{text}' is missing: {absent} does not exist"
    return f"{message}; give --download to download it, or put it there" if _has(text, "fetch") else message


def check(text: str, res: int) -> None:
    """Raise ValueError if a data set does not support res x res pixels with its options."""
    if _has(text, "check"):
        _call("check", text, res)


def fetch(text: str) -> None:
    """Download the missing files of a data set. Does nothing if the data set has no URL. Raises OSError if the download fails."""
    if missing(text) is None or not _has(text, "fetch"):
        return
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(CONNECT_SECONDS)
    try:
        _check_server(module(parse(text).name).URL)  # before imports that take seconds
        _call("fetch", text)
    except (OSError, RuntimeError) as error:
        raise OSError(f"data set '{text}' could not be downloaded to {root()}: {error}") from error
    finally:
        socket.setdefaulttimeout(before)


def module(name: str) -> Any:
    """Return the module of a data set. Raises ValueError for an unknown name."""
    if name not in names():
        raise ValueError(f"unknown data set '{name}' (known: {', '.join(names())})")
    return importlib.import_module(f"bench.data.{name}")


def _call(function: str, text: str, *args: Any) -> Any:
    """Call a function of the module of a data set with `args`, the path after a colon if any, and the options of the data set."""
    parsed = parse(text)
    name, _, path = parsed.name.partition(":")
    call, positional = getattr(module(name), function), [*args, *filter(None, [path])]
    try:
        inspect.signature(call).bind(*positional, **dict(parsed.options))
    except TypeError as error:
        raise ValueError(f"data set '{text}': {error}") from error
    return call(*positional, **dict(parsed.options))


def _check_options(text: str) -> None:
    """Raise ValueError for an unknown name or an option that `load` does not have, without importing the module."""
    function = _functions(text)["load"]
    known = [argument.arg for argument in function.args.args[1:]]
    unknown = [name for name, _ in parse(text).options if name not in known]
    if unknown:
        raise ValueError(f"data set '{text}' has no option '{unknown[0]}' (options: {', '.join(known) or 'none'})")


def _has(text: str, function: str) -> bool:
    """Return whether the module of a data set defines a function, without importing it. Raises ValueError for an unknown name."""
    return function in _functions(text)


def _functions(text: str) -> dict[str, ast.FunctionDef]:
    name = parse(text).name.partition(":")[0]
    if name not in names():
        module(name)
    return {node.name: node for node in _tree(name).body if isinstance(node, ast.FunctionDef)}


def _tree(name: str) -> ast.Module:
    return ast.parse(Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8"))


def _check_server(url: str) -> None:
    """Raise OSError if no server answers. An HTTP error counts as an answer."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD")).close()
    except urllib.error.HTTPError:
        return
