"""The grammar of names with options, NAME[key=value,...]: data sets and networks are asked for so. No torch here."""

from __future__ import annotations

import ast
import re
from typing import Any, NamedTuple

from bench.spec import Pairs

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
