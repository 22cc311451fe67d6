"""Cells in words: how a reader names a method with its options, and how a setting is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import methods
from bench import options, words
from bench.spec import ORIGINAL, Cell
from methods import Entry

MODES = {"infer": "inference", "train": "training step"}


def cell_of(label: str, known: Mapping[str, Entry], **axes: Any) -> Cell:
    """The cell of `name` or `name[option=value,...]` in the setting of `axes`; `kernel` among the options is the kernel size.

    At level "model": of `network`, as published, or `network + method`. Values are those of `--set`: 16, (16,8) or 16,8, zero.
    Reads what `Cell.label` writes. Raises ValueError.
    """
    if axes.get("level") == "model":
        network, plus, method = label.partition(" + ")
        inside = cell_of(method, known, **axes | {"level": "op"}) if plus else Cell(ORIGINAL, **axes)
        return replace(inside, level="model", network=str(words.parse(network)))
    match = re.fullmatch(r"([^\[\]]+)(?:\[(.*)\])?", label.strip())
    if not match:
        raise ValueError(f"{label!r} is not a method such as niff or niff[hidden=16]")
    name = match[1].strip()
    if name not in known:
        raise ValueError(str(methods.UnknownMethod(name, list(known))))
    given = _options(label, match[2])
    kernel = _kernel(known[name], given.pop("kernel", None))
    params = options.settings([f"{name}.{option}={value}" for option, value in given.items()], known)
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
