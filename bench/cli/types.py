"""Parameter types of the command line: comma lists, resolutions, quantities with units. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

import methods
from bench.columns import AXES, METRICS
from bench.names import did_you_mean, parse, split


class Comma(click.ParamType):
    """A comma list, in which brackets protect commas. Each item is converted on its own; known choices are completed."""

    def __init__(
        self,
        name: str,
        convert: Callable[[str], Any],
        choices: Callable[[], Iterable[str]] = tuple,
    ):
        self.name, self._convert, self._choices = name, convert, choices

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(self._convert(item) for item in split(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        head, comma, last = incomplete.rpartition(",")
        return [CompletionItem(head + comma + word) for word in self._choices() if word.startswith(last)]


class Quantity(click.ParamType):
    """A positive number with an optional unit: 500ms, 2min, 4GB."""

    def __init__(self, name: str, units: Mapping[str, float]):
        self.name, self.units = name, units

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([A-Za-z%]*)", str(value))
        if not match or match[2] not in self.units or not float(match[1]) * self.units[match[2]] > 0:
            self.fail(f"{value!r} is not a positive number with one of the units {', '.join(filter(None, self.units))}", param, ctx)
        return float(match[1]) * self.units[match[2]]


SECONDS = Quantity("seconds", {"": 1, "s": 1, "ms": 1e-3, "min": 60, "h": 3600})
BYTES = Quantity("bytes", {"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "MiB": 2**20, "GiB": 2**30})
SHARE = Quantity("share", {"": 1, "%": 0.01})


def flat(ctx: click.Context, param: click.Parameter, value: tuple[tuple[Any, ...], ...]) -> tuple[Any, ...]:
    """Return the values of a repeated comma option as one tuple, in order, without duplicates."""
    return tuple(dict.fromkeys(item for group in value for item in group))


def _positive(word: str) -> int:
    if not re.fullmatch(r"[0-9]+", word) or int(word) < 1:
        raise ValueError(f"{word!r} is not a positive whole number")
    return int(word)


def _natural(word: str) -> int:
    value = 0 if word == "0" else _positive(word)
    if value > 2**31:
        raise ValueError(f"{word} is too large: at most {2**31}")
    return value


def _resolution(word: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9][0-9]*)(?:x([1-9][0-9]*))?", word)
    if not match:
        raise ValueError(f"{word!r} is not a resolution such as 224 or 64x96")
    return int(match[1]), int(match[2] or match[1])


def _device(word: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", word):
        raise ValueError(f"{word!r} is not a device: auto, cpu, cuda or cuda:0")
    return word


def _one_of(*choices: str) -> Callable[[str], str]:
    def convert(word: str) -> str:
        if word not in choices:
            raise ValueError(f"{word!r} is not one of {', '.join(choices)}{did_you_mean(word, choices)}")
        return word

    return convert


def _choice(name: str, *choices: str) -> Comma:
    return Comma(name, _one_of(*choices), lambda: choices)


POSITIVE = Comma("numbers", _positive)
NATURAL = Comma("numbers", _natural)
RESOLUTION = Comma("resolutions", _resolution)
DEVICE = Comma("devices", _device, lambda: ("auto", "cpu", "cuda"))
DTYPE = _choice("dtypes", "fp32", "bf16")
MODE = _choice("modes", "infer", "train")
METRIC = _choice("metrics", *METRICS)
AXIS = _choice("axes", *AXES)
FORMATS = ("markdown", "html", "csv", "json", "parquet", "latex")  # of reports
FORMAT = _choice("formats", *FORMATS)
NAMES = Comma("names", lambda text: str(parse(text)))  # NAME[option=value,...]
METHODS = Comma("methods", str, lambda: ["all", *methods.names()])
