"""One file a data set: `load(wish, **options)` gives its `Splits`. A set is named after its file; listing them costs no torch.

A set is asked for as NAME or NAME[option=value,...]; one whose files lie anywhere as NAME:PATH. Modules that read the disk have
`files(**options)`, what must be there, and import no torch by themselves; those that can download it have `fetch` and `URL` too.
The test part is looked at once, after training; every choice on the way is made on the validation part, which is split from the
training data.
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

    Images: TypeAlias = "Dataset[Any]"  # of pairs of tensors

PATIENCE = 5.0  # seconds that a server may be silent
SEED = 0  # of every split and every generated set: never the seed of a training


class DataSpec(NamedTuple):
    """What a training asks of a data set; sets that cannot be augmented raise ValueError where they are asked to."""

    res: int
    augment: str = "none"
    erase: float = 0.0


class Splits(NamedTuple):
    """Pairs of an image (C, res, res), float32, standardised as the training part, and a label from 0 to classes - 1.

    In-memory sets are TensorDatasets, others map-style data sets. `floor` is the accuracy in percent that needs no look at what the
    task is about: the share of the largest class, or what a shortcut gives; `floor_of` names it.
    """

    train: Images
    validation: Images
    test: Images
    classes: int
    channels: int
    floor: float
    floor_of: str = "largest class"


def names() -> list[str]:
    """Every data set, by its file."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.py") if not file.stem.startswith("_"))


def summaries() -> dict[str, str]:
    """What each data set is, in a line: the first of its file, which is not imported."""
    return {name: (ast.get_docstring(_tree(name)) or "").partition("\n")[0] for name in names()}


def load(text: str, wish: DataSpec) -> Splits:
    """The splits of a data set NAME[option=value,...]; raises ValueError for an unknown name or option."""
    splits: Splits = _ask("load", text, wish)
    return splits


def missing(text: str) -> str | None:
    """What is not there that a data set reads from the disk, and what to do; None where all is. Costs no torch.

    Raises ValueError for an unknown name or option.
    """
    _check_options(text)
    if not _has(text, "files"):
        return None
    lost = next((path for path in (root() / file for file in _ask("files", text)) if not path.exists()), None)
    if lost is None:
        return None
    what = f"data set '{text}' is not here: there is no {lost}"
    return f"{what}; give --download to fetch it, or put it there" if _has(text, "fetch") else what


def check(text: str, res: int) -> None:
    """Raises ValueError where a set says that it cannot be had in images of res x res pixels with its options."""
    if _has(text, "check"):
        _ask("check", text, res)


def fetch(text: str) -> None:
    """Download what is missing of a data set; raises OSError where that cannot be. Does nothing for one that has no source."""
    if missing(text) is None or not _has(text, "fetch"):
        return
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        _reach(module(parse(text).name).URL)  # before seconds of imports
        _ask("fetch", text)
    except (OSError, RuntimeError) as error:
        raise OSError(f"data set '{text}' could not be fetched to {root()}: {error}") from error
    finally:
        socket.setdefaulttimeout(before)


def module(name: str) -> Any:
    """The module of a data set; raises ValueError for an unknown name."""
    if name not in names():
        raise ValueError(f"unknown data set '{name}' (known: {', '.join(names())})")
    return importlib.import_module(f"bench.data.{name}")


def _ask(function: str, text: str, *given: Any) -> Any:
    """Call a function of a data set's module with what follows its name after a colon, and its options."""
    word = parse(text)
    name, _, path = word.name.partition(":")
    ask, places = getattr(module(name), function), [*given, *filter(None, [path])]
    try:
        inspect.signature(ask).bind(*places, **dict(word.options))
    except TypeError as error:
        raise ValueError(f"data set '{text}': {error}") from error
    return ask(*places, **dict(word.options))


def _check_options(text: str) -> None:
    """Raises ValueError for an option that `load` does not take, or an unknown name, without importing its module."""
    function = _functions(text)["load"]
    known = [argument.arg for argument in function.args.args[1:]]
    unknown = [name for name, _ in parse(text).options if name not in known]
    if unknown:
        raise ValueError(f"data set '{text}' has no option '{unknown[0]}' (options: {', '.join(known) or 'none'})")


def _has(text: str, function: str) -> bool:
    """Whether the module of a data set defines a function, without importing it; raises ValueError for an unknown name."""
    return function in _functions(text)


def _functions(text: str) -> dict[str, ast.FunctionDef]:
    name = parse(text).name.partition(":")[0]
    if name not in names():
        module(name)
    return {node.name: node for node in _tree(name).body if isinstance(node, ast.FunctionDef)}


def _tree(name: str) -> ast.Module:
    return ast.parse(Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8"))


def _reach(url: str) -> None:
    """Raises OSError where no server answers, whatever it says."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD")).close()
    except urllib.error.HTTPError:
        return
