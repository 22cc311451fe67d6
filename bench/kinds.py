"""Kinds of option values: how one value is written and read, on the command line and in Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from methods.registry import did_you_mean


@dataclass(frozen=True)
class Kind:
    """How a value of an option is written. `name` stands for the value in a help text, `limits` for its range."""

    name: str
    read: Callable[[str], Any]  # raises ValueError
    choices: Callable[[], Iterable[str]] = tuple  # known values, for shell completion
    limits: str = ""
    write: Callable[[Any], str] = str  # text that `read` reads as the same value

    def of(self, value: Any) -> Any:
        """Return a value that is given as text or as a Python object, such as 56 or (64, 96). Raises ValueError."""
        return self.read(value if isinstance(value, str) else self.write(value))


def choice(*choices: str, name: str = "") -> Kind:
    """Return the kind of one of these words."""

    def read(word: str) -> str:
        if word not in choices:
            raise ValueError(f"{word!r} is not one of {', '.join(choices)}{did_you_mean(word, choices)}")
        return word

    return Kind(name or f"[{'|'.join(choices)}]", read, lambda: choices)


def number(least: int, most: int = 2**31) -> Kind:
    """Return the kind of a whole number in a range."""

    def read(word: str) -> int:
        if not re.fullmatch(r"-?[0-9]+", word) or (least > 0 and int(word) < 1):
            raise ValueError(f"{word!r} is not a {'positive ' if least > 0 else ''}whole number")
        if int(word) < least:
            raise ValueError(f"{word} is too small: at least {least}")
        if int(word) > most:
            raise ValueError(f"{word} is too large: at most {most}")
        return int(word)

    ends = [f"at least {least}"] if least > 1 else []
    ends += [f"at most {most}"] if most < 2**31 else []
    return Kind("NUMBER", read, limits=", ".join(ends))


def quantity(name: str, units: Mapping[str, float]) -> Kind:
    """Return the kind of a positive number with an optional unit: 500ms, 2min, 4GB."""

    def read(text: str) -> float:
        match = re.fullmatch(r"([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([A-Za-z%]*)", text)
        if not match or match[2] not in units or not float(match[1]) * units[match[2]] > 0:
            raise ValueError(f"{text!r} is not a positive number with one of the units {', '.join(filter(None, units))}")
        return float(match[1]) * units[match[2]]

    return Kind(name, read, write=_exact)


def _exact(value: Any) -> str:
    """Return a number as text, whole numbers without a fraction."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _size_text(value: Any) -> str:
    """Return a side, or (height, width), as text."""
    height, width = value if isinstance(value, tuple) else (value, value)
    return f"{height}" if height == width else f"{height}x{width}"


def _size(word: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9][0-9]*)(?:x([1-9][0-9]*))?", word)
    if not match:
        raise ValueError(f"{word!r} is not a resolution such as 224 or 64x96")
    return int(match[1]), int(match[2] or match[1])


def _device(word: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", word):
        raise ValueError(f"{word!r} is not a device: auto, cpu, cuda or cuda:0")
    return word


def _percent(word: str) -> float:
    try:
        value = float(word.removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise ValueError(f"{word!r} is not a percentage from 0 to 100")
    return value


def _existing(check: Callable[[Path], bool], what: str) -> Callable[[str], Path]:
    def read(text: str) -> Path:
        if not check(Path(text)):
            raise ValueError(f"{what} {text!r} does not exist")
        return Path(text)

    return read


TEXT = Kind("TEXT", str)
SWITCH = Kind("", bool)  # a flag without a value
POSITIVE = number(1)
NATURAL = number(0)
RESOLUTION = Kind("SIZE", _size, write=_size_text)
DEVICE = Kind("DEVICE", _device, lambda: ("auto", "cpu", "cuda"))
SECONDS = quantity("SECONDS", {"": 1, "s": 1, "ms": 1e-3, "min": 60, "h": 3600})
BYTES = quantity("BYTES", {"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "MiB": 2**20, "GiB": 2**30})
SHARE = quantity("SHARE", {"": 1, "%": 0.01})
PERCENT = Kind("PERCENT", _percent, limits="0 to 100")
PATH = Kind("PATH", Path)
NEW_FOLDER = Kind("FOLDER", Path)
FILE = Kind("FILE", _existing(Path.is_file, "file"))
FOLDER = Kind("FOLDER", _existing(Path.is_dir, "folder"))
EXISTING = Kind("PATH", _existing(Path.exists, "path"))
