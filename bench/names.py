"""The grammar of names with options, NAME[key=value,...]: data sets and networks are asked for so. No torch here."""

from __future__ import annotations

import ast
import difflib
import fnmatch
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import methods
from bench.spec import ORIGINAL, Cell, Pairs
from methods import Entry

SHAPE = re.compile(r"(?P<name>[^\[\]]+?)(?:\[(?P<options>[^\[\]]*)\])?")


class Word(NamedTuple):
    """A name and its options, sorted."""

    name: str
    options: Pairs = ()

    def __str__(self) -> str:
        return self.name + (f"[{','.join(f'{key}={value}' for key, value in self.options)}]" if self.options else "")


def parse(text: str) -> Word:
    """The word of a text; raises ValueError where it is none. Values are Python literals, else strings."""
    match = SHAPE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not NAME or NAME[option=value,...]")
    options: dict[str, Any] = {}
    for part in filter(None, (match["options"] or "").split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key.isidentifier() or not value or key in options:
            raise ValueError(f"{text!r}: {part.strip()!r} is not option=value, each option once")
        options[key] = literal(value)
    return Word(match["name"].strip(), tuple(sorted(options.items())))


def literal(text: str) -> Any:
    """A number, a truth value or None where the text is one, else the text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def split(text: str) -> list[str]:
    """The words of a comma list; commas inside brackets belong to a word."""
    return [part.strip() for part in re.split(r",(?![^\[\]]*\])", text)]


def nearest(word: str, known: Iterable[str]) -> str:
    """ "; did you mean 'x'?" where something known is close, else nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def select(words: Iterable[str], known: Mapping[str, Entry], kernel: bool) -> tuple[str, ...]:
    """Registered names of words and globs; raises ValueError for a name that is unknown or needs a `--kernel` that is not given."""
    chosen: dict[str, None] = {}
    for word in words:
        pattern = "*" if word == "all" else word
        if any(sign in pattern for sign in "*?["):
            found = [name for name in known if fnmatch.fnmatchcase(name, pattern) and (kernel or not known[name].needs_kernel)]
            if not found:
                raise ValueError(f"no method matches '{word}' (known: {', '.join(known)})")
            chosen |= dict.fromkeys(found)
        elif word not in known:
            raise ValueError(str(methods.UnknownMethod(word, list(known))))
        elif known[word].needs_kernel and not kernel:
            raise ValueError(f"method '{word}' needs a kernel size: give --kernel")
        else:
            chosen[word] = None
    return tuple(chosen)


def settings(words: Iterable[str], known: Mapping[str, Entry]) -> dict[str, Pairs]:
    """{method: ((option, value), ...)} of `METHOD.OPTION=VALUE` words; raises ValueError."""
    found: dict[str, dict[str, Any]] = {}
    for word in words:
        match = re.fullmatch(r"([^.=]+)\.([^.=]+)=(.*)", word)
        if not match:
            raise ValueError(f"--set {word!r} is not METHOD.OPTION=VALUE")
        name, option, value = match.groups()
        if name not in known:
            raise ValueError(str(methods.UnknownMethod(name, list(known))))
        options = [one for one in (*known[name].options, *known[name].required) if one not in {*known[name].hparams, "kernel_size"}]
        if option == "kernel_size":
            raise ValueError(f"--set {word!r}: a kernel size is set by --kernel, for methods that take one")
        if option not in options:
            raise ValueError(f"method '{name}' has no option '{option}'{nearest(option, options)} (options: {', '.join(options)})")
        found.setdefault(name, {})[option] = _literal(value, word)
    return {name: tuple(sorted(options.items())) for name, options in found.items()}


def _literal(text: str, word: str) -> Any:
    """A number, a truth value, None or a tuple of them, or the text itself; raises ValueError for what JSON cannot hold."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    try:
        return _tuples(json.loads(json.dumps(value, allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise ValueError(f"--set {word!r}: {text} is not a finite number, a truth value, a text or a tuple of them") from error


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        raise TypeError("a mapping")
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


MODES = {"infer": "inference", "train": "training step"}


def cell_of(label: str, known: Mapping[str, Entry], **axes: Any) -> Cell:
    """The cell of `name` or `name[option=value,...]` in the setting of `axes`; `kernel` among the options is the kernel size.

    At level "model": of `network`, as published, or `network + method`. Values are those of `--set`: 16, (16,8) or 16,8, zero.
    Reads what `Cell.label` writes. Raises ValueError.
    """
    if axes.get("level") == "model":
        network, plus, method = label.partition(" + ")
        inside = cell_of(method, known, **axes | {"level": "op"}) if plus else Cell(ORIGINAL, **axes)
        return replace(inside, level="model", network=str(parse(network)))
    match = re.fullmatch(r"([^\[\]]+)(?:\[(.*)\])?", label.strip())
    if not match:
        raise ValueError(f"{label!r} is not a method such as niff or niff[hidden=16]")
    name = match[1].strip()
    if name not in known:
        raise ValueError(str(methods.UnknownMethod(name, list(known))))
    given = _options(label, match[2])
    kernel = _kernel(known[name], given.pop("kernel", None))
    params = settings([f"{name}.{option}={value}" for option, value in given.items()], known)
    return Cell(name, kernel=kernel, params=params.get(name, ()), **axes)


def _options(label: str, inside: str | None) -> dict[str, str]:
    """{option: value} of the text in brackets; a comma that no option follows belongs to a value."""
    found: dict[str, str] = {}
    for word in re.split(r",(?=\s*\w+\s*=)", inside) if inside is not None else ():
        option, sign, value = (part.strip() for part in word.partition("="))
        if not (option and sign and value):
            raise ValueError(f"{label!r}: {word.strip()!r} is not OPTION=VALUE")
        if option in found:
            raise ValueError(f"{label!r}: {option} is given twice")
        if option == "kernel_size":
            raise ValueError(f"{label!r}: a kernel size is written kernel={value}")
        found[option] = value
    return found


def _kernel(entry: Entry, word: str | None) -> int | None:
    if word is None:
        if entry.needs_kernel:
            raise ValueError(f"method '{entry.name}' needs a kernel size: write {entry.name}[kernel=7]")
        return None
    if not entry.takes_kernel:
        raise ValueError(f"method '{entry.name}' takes no kernel size")
    if not re.fullmatch(r"[1-9][0-9]*", word):
        raise ValueError(f"kernel={word} is not a positive whole number")
    return int(word)


def channels(cell: Cell) -> str:
    """ "C64" for 64 channels; empty where the data say how many there are."""
    return f"C{cell.channels}" if cell.channels else ""


def threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def place(device: str, count: int) -> str:
    """A device, a CPU with its number of threads."""
    return f"{device}, {threads(count)}" if device == "cpu" else device


def setting(cell: Cell) -> str:
    """Everything of a cell but its method, in words."""
    seed = f", seed {cell.seed}" if cell.seed else ""
    width = f"networks, {cell.channels} image channels" if cell.level == "model" else f"{cell.channels} channels"
    return f"{place(cell.device, cell.threads)}, {cell.dtype}, {MODES[cell.mode]}, batch {cell.batch}, {width}, {cell.res} px{seed}"
