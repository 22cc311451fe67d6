"""How methods, networks and data sets are written, `NAME[option=value,...]`: parsing, printing, selecting. No torch here.

One grammar serves the command line, labels and journals. A value is a Python literal that JSON can hold (16, 0.5, True, None, or a
tuple of them, with or without parentheses; `16,` is a tuple of one) or else text, as in
`niff[hidden=(16,8)]` and `niff[hidden=16,8,boundary=zero]`.
"""

from __future__ import annotations

import ast
import fnmatch
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import methods
from bench.spec import ORIGINAL, Cell, Pairs
from methods import Entry
from methods.registry import did_you_mean

GRAMMAR = re.compile(r"(?P<name>[^\[\]]+?)(?:\[(?P<options>.*)\])?")
NEXT_OPTION = re.compile(r",(?=\s*\w+\s*=)")  # a comma that no option follows belongs to a value


class Name(NamedTuple):
    """A name with its options, sorted. `str` writes it so that `parse` reads it back."""

    name: str
    options: Pairs = ()

    def __str__(self) -> str:
        return self.name + (f"[{','.join(f'{key}={value}' for key, value in self.options)}]" if self.options else "")


def parse(text: str) -> Name:
    """Parse `NAME` or `NAME[option=value,...]`. Raises ValueError for any other text."""
    match = GRAMMAR.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not NAME or NAME[option=value,...], such as niff or niff[hidden=16]")
    options: dict[str, Any] = {}
    for part in () if match["options"] is None else NEXT_OPTION.split(match["options"]):
        option, equals, value = (piece.strip() for piece in part.partition("="))
        if not (equals and option.isidentifier() and value):
            raise ValueError(f"{text!r}: {part.strip()!r} is not OPTION=VALUE")
        if option in options:
            raise ValueError(f"{text!r}: {option} is given twice")
        options[option] = parse_value(value, text)
    return Name(match["name"].strip(), tuple(sorted(options.items())))


def parse_value(value: str, text: str) -> Any:
    """Parse one value of `text`: a number, a truth value, None or a tuple of them, or the text itself.

    Raises ValueError for a literal that JSON cannot hold, such as 1e999 or a dictionary.
    """
    try:
        literal = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value
    try:
        return _as_tuples(json.loads(json.dumps(literal, allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{text!r}: {value} is not a finite number, a truth value, a text or a tuple of them") from error


def _as_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        raise TypeError("a mapping")
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list) else value


def split(text: str) -> list[str]:
    """Split a comma list of names. Commas inside brackets belong to a name."""
    return [part.strip() for part in re.split(r",(?![^\[\]]*\])", text)]


def select(patterns: Iterable[str], known: Mapping[str, Entry], kernel: bool) -> tuple[str, ...]:
    """Return the registered names that match: names, globs, or "all"; `kernel` says whether `--kernel` is given.

    Raises ValueError for an unknown name, a glob without a match, and a method that needs a `--kernel` that is not given.
    """
    selected: dict[str, None] = {}
    for word in patterns:
        pattern = "*" if word == "all" else word
        if any(sign in pattern for sign in "*?["):
            matches = [name for name in known if fnmatch.fnmatchcase(name, pattern) and (kernel or not known[name].needs_kernel)]
            if not matches:
                raise ValueError(f"no method matches '{word}' (known: {', '.join(known)})")
            selected |= dict.fromkeys(matches)
        elif _entry(word, known).needs_kernel and not kernel:
            raise ValueError(f"method '{word}' needs a kernel size: give --kernel")
        else:
            selected[word] = None
    return tuple(selected)


def overrides(settings: Iterable[str], known: Mapping[str, Entry]) -> dict[str, Pairs]:
    """Map each method to the options that `METHOD.OPTION=VALUE` texts override. Raises ValueError."""
    by_method: dict[str, dict[str, Any]] = {}
    for text in settings:
        match = re.fullmatch(r"([^.=]+)\.([^.=]+)=(.*)", text)
        if not match:
            raise ValueError(f"--set {text!r} is not METHOD.OPTION=VALUE")
        name, option, value = match.groups()
        if option == "kernel_size":
            raise ValueError(f"--set {text!r}: --kernel sets the kernel size, for methods that take one")
        _check_option(_entry(name, known), option)
        by_method.setdefault(name, {})[option] = parse_value(value, f"--set {text}")
    return {name: tuple(sorted(options.items())) for name, options in by_method.items()}


def _entry(name: str, known: Mapping[str, Entry]) -> Entry:
    if name not in known:
        raise ValueError(str(methods.UnknownMethod(name, list(known))))
    return known[name]


def _check_option(entry: Entry, option: str) -> None:
    """Raise ValueError for an option that the method does not have, or that its name fixes."""
    free = [name for name in (*entry.options, *entry.required) if name not in {*entry.hparams, "kernel_size"}]
    if option not in free:
        suggestion = did_you_mean(option, free)
        raise ValueError(f"method '{entry.name}' has no option '{option}'{suggestion} (options: {', '.join(free)})")


def cell_of(label: str, known: Mapping[str, Entry], **axes: Any) -> Cell:
    """Return the cell of a label, `METHOD` or `METHOD[option=value,...]`, in the setting of `axes`.

    The option `kernel` is the kernel size. At level "model" a label is `NETWORK`, as published, or `NETWORK + METHOD`. Reads what
    `Cell.label` writes. Raises ValueError for an unknown method or option.
    """
    if axes.get("level") == "model":
        network, plus, method = label.partition(" + ")
        inside = cell_of(method, known, **axes | {"level": "op"}) if plus else Cell(ORIGINAL, **axes)
        return replace(inside, level="model", network=str(parse(network)))
    name, pairs = parse(label)
    entry, options = _entry(name, known), dict(pairs)
    if "kernel_size" in options:
        raise ValueError(f"{label!r}: a kernel size is written kernel={options['kernel_size']}")
    kernel = _kernel(entry, options.pop("kernel", None))
    for option in options:
        _check_option(entry, option)
    return Cell(name, kernel=kernel, params=tuple(options.items()), **axes)


def _kernel(entry: Entry, size: Any) -> int | None:
    if size is None:
        if entry.needs_kernel:
            raise ValueError(f"method '{entry.name}' needs a kernel size: write {entry.name}[kernel=7]")
        return None
    if not entry.takes_kernel:
        raise ValueError(f"method '{entry.name}' takes no kernel size")
    if type(size) is not int or size < 1:
        raise ValueError(f"kernel={size} is not a positive whole number")
    return size
