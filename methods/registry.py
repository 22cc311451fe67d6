"""Registry of methods. A method is a name, a class and the options that the name fixes.

    @register("dwconv31", kernel_size=31, paper="https://arxiv.org/abs/2203.06717")
    class DepthwiseConv(nn.Module):
        def __init__(self, channels, resolution, kernel_size=7): ...

Decorators can be stacked to register several named variants of a class. This module does not import torch; `load()` imports the
modules that do.
"""

from __future__ import annotations

import difflib
import fnmatch
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from methods.catalogue import Entry, describe_file, first_line

if TYPE_CHECKING:
    from torch import nn

Resolution = int | tuple[int, int]
Cls = TypeVar("Cls", bound=type)
PLUGIN_MODULE = "methods_plugin_"  # prefix of the modules of plugin files
_REGISTRY: dict[str, Method] = {}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" if a known word is close, else an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


class Unsupported(Exception):
    """A setting that an operator does not support. Raised by constructors; the text becomes the reason in the row."""


class UnknownMethod(KeyError):
    """An unknown method name. The text gives the nearest name and all known names."""

    def __init__(self, name: str, known: list[str]):
        self.message = f"unknown method '{name}'{did_you_mean(name, known)} (known: {', '.join(known)})"
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Method:
    """A registered operator: `build` gives an `nn.Module` mapping (B, C, H, W) to (B, C, H, W)."""

    name: str
    cls: type
    paper: str
    hparams: Mapping[str, Any] = field(default_factory=dict)

    def build(self, channels: int, resolution: Resolution, kernel: int | None = None, **overrides: Any) -> nn.Module:
        """Build the operator for `channels` channels and maps of `resolution` pixels.

        Raises `Unsupported` if the operator does not support the setting.
        """
        settings = {**self.hparams, **overrides}
        if kernel is not None:
            settings["kernel_size"] = kernel
        return self.cls(channels, resolution, **settings)

    @property
    def entry(self) -> Entry:
        parameters = list(inspect.signature(self.cls).parameters.values())[2:]  # the sweep sets channels and resolution
        named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        options = {p.name: p.default for p in named}
        required = tuple(name for name, default in options.items() if default is inspect.Parameter.empty)
        defaults = {name: default for name, default in options.items() if name not in required}
        return Entry(self.name, first_line(self.cls.__doc__), self.paper, dict(self.hparams), defaults, required)


def register(name: str, *, paper: str = "", **hparams: Any) -> Callable[[Cls], Cls]:
    """Return a class decorator that registers the class under `name` with `hparams` fixed.

    Raises ValueError if the name is already registered.
    """

    def add(cls: Cls) -> Cls:
        if name in _REGISTRY:
            raise ValueError(f"method '{name}' is already registered by {_REGISTRY[name].cls.__qualname__}")
        _REGISTRY[name] = Method(name, cls, paper, hparams)
        return cls

    return add


def load() -> None:
    """Import every module of this folder and load every entry point of the group `bench.methods`."""
    folder = str(Path(__file__).parent)
    for module in pkgutil.iter_modules([folder], "methods."):
        importlib.import_module(module.name)
    for point in entry_points(group="bench.methods"):
        point.load()


def load_file(path: str | Path) -> list[str]:
    """Import a plugin file and return the names it registered. Loading the same file again has no effect.

    If the file raises an exception, the names it registered are removed and the exception is re-raised.
    """
    path = Path(path).resolve()
    module_name = f"{PLUGIN_MODULE}{path.stem}_{abs(hash(str(path))):x}"
    if module_name not in sys.modules:
        load()
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[module_name]
            for name in _registered_by(module_name):
                del _REGISTRY[name]
            raise
    return _registered_by(module_name)


def _registered_by(module_name: str) -> list[str]:
    return [name for name, method in _REGISTRY.items() if method.cls.__module__ == module_name]


def get(name: str) -> Method:
    """Return the method of a name. Raises `UnknownMethod`."""
    if name not in _REGISTRY:
        load()
    if name not in _REGISTRY:
        raise UnknownMethod(name, names())
    return _REGISTRY[name]


def create(name: str, channels: int, resolution: Resolution, **options: Any) -> nn.Module:
    """Build the operator of a registered name.

        methods.create("niff", channels=64, resolution=56, hidden=(8, 4))
        methods.create("dwconv", channels=64, resolution=(48, 56), kernel_size=9)

    The operator maps (B, channels, H, W) to (B, channels, H, W), with (H, W) = `resolution`, a number or a pair of numbers of
    pixels. Its weights are on torch's default device. `options` are arguments of its class that the name does not fix, such as
    `kernel_size`; `python -m bench info NAME` lists them.

    Raises `UnknownMethod` for an unknown name, ValueError for an unknown, fixed or missing option, and `Unsupported` if the
    operator does not support the setting.
    """
    method = get(name)
    _check_options(method.entry, options)
    return method.build(channels, resolution, **options)


def _check_options(entry: Entry, options: Mapping[str, Any]) -> None:
    free = [option for option in (*entry.required, *entry.options) if option not in entry.hparams]
    text = f"(options: {', '.join(free) or 'none'})"
    for option in options:
        if option in entry.hparams:
            raise ValueError(f"method '{entry.name}' fixes {option} = {entry.hparams[option]!r} {text}")
        if option not in free:
            raise ValueError(f"method '{entry.name}' has no option '{option}'{did_you_mean(option, free)} {text}")
    missing = [option for option in entry.required if option in free and option not in options]
    if missing:
        raise ValueError(f"method '{entry.name}' needs the option {' and '.join(missing)} {text}")


def names() -> list[str]:
    """Return every registered name, in the order of the catalogue."""
    return [entry.name for entry in catalogue()]


def list_names(pattern: str = "*") -> list[str]:
    """Return the registered names that match a glob such as "niff*", in the order of the catalogue. Does not import torch."""
    return [name for name in names() if fnmatch.fnmatchcase(name, pattern)]


@cache
def shipped() -> tuple[Entry, ...]:
    """Return the methods of this package, parsed without importing them."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple(entry for file in files for entry in describe_file(file))


def catalogue() -> list[Entry]:
    """Return the entries of all methods: shipped ones are parsed without importing torch, plugins are described once loaded."""
    entries = list(shipped())
    if entry_points(group="bench.methods"):
        load()
    known = {entry.name for entry in entries}
    return entries + [method.entry for name, method in _REGISTRY.items() if name not in known]
