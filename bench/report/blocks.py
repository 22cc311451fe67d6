"""Pages as data: blocks of inline text, printed by `bench/report/markdown.py` and `bench/report/export/latex.py`.

Texts here are plain. Only a printer escapes the special characters of its format.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

PARETO = "◆"


@dataclass(frozen=True)
class Code:
    """A name or command in a fixed-width font."""

    name: str


@dataclass(frozen=True)
class Bold:
    """The best value of a column, or a title within the text."""

    text: Inline


@dataclass(frozen=True)
class Emphasis:
    """A status that is shown instead of a value."""

    text: Inline


@dataclass(frozen=True)
class Mark:
    """The number of a footnote."""

    number: int


@dataclass(frozen=True)
class Link:
    """A link to a URL, which may be relative to the page."""

    text: str
    url: str


Inline: TypeAlias = "str | Code | Bold | Emphasis | Mark | Link | tuple[Inline, ...]"


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the title of the page."""

    level: int
    text: Inline


@dataclass(frozen=True)
class Paragraph:
    """A text, and below it prose written in markdown. LaTeX omits both."""

    text: Inline = ""
    prose: str = ""


@dataclass(frozen=True)
class Quote:
    """A notice about the page. LaTeX omits it."""

    text: Inline


@dataclass(frozen=True)
class Image:
    """An image with its description. LaTeX omits it."""

    text: str
    url: str


@dataclass(frozen=True)
class Items:
    """A list, for example of the commands of a run. LaTeX has it as comments."""

    items: Sequence[Inline]


@dataclass(frozen=True)
class Table:
    """A table: each line maps headings of columns to cells, and may lack some.

    Columns in `left` are left-aligned, the others right-aligned. `legend` and the texts of the footnotes are below the table.
    """

    lines: Sequence[Mapping[str, Inline]]
    left: Collection[str] = ("method",)
    legend: Inline = ""
    notes: Sequence[str] = ()

    @property
    def columns(self) -> list[str]:
        """The headings, in order of first appearance."""
        return list(dict.fromkeys(name for line in self.lines for name in line))

    @property
    def rows(self) -> list[list[Inline]]:
        """The cells of each line in the order of the columns; missing cells are empty."""
        columns = self.columns
        return [[line.get(name, "") for name in columns] for line in self.lines]

    @property
    def footnotes(self) -> list[Inline]:
        """The footnotes with their numbers."""
        return [(Mark(number), f" {text}") for number, text in enumerate(self.notes, 1)]


Block: TypeAlias = Heading | Paragraph | Quote | Image | Items | Table


class Footnotes:
    """Numbered footnotes of one table; equal texts have one number."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> Mark:
        """Add a footnote if it is new and return its mark."""
        if text not in self.texts:
            self.texts.append(text)
        return Mark(self.texts.index(text) + 1)

    def failure(self, status: str, reason: str) -> Inline:
        """Return a status with a mark whose footnote states the reason; shown instead of a value."""
        return Emphasis(status), self.mark(f"{status}: {reason}")


def join(*parts: Inline) -> Inline:
    """Return inline texts as one, without the empty ones; "" if all are empty."""
    filled = tuple(part for part in parts if part)
    return filled if len(filled) > 1 else filled[0] if filled else ""


def separated(texts: Iterable[Inline], separator: str) -> Inline:
    """Return inline texts as one, with a separator between them."""
    parts = [part for text in texts for part in (separator, text)]
    return join(*parts[1:])


def one_line(text: str) -> str:
    """Replace line breaks and repeated spaces by one space."""
    return re.sub(r"\s+", " ", text)
