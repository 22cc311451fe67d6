"""Docstrings and tables as markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

WORDS = re.compile(r"(`[^`]+`|https?://[^\s)>]*[^\s)>.,;:])")  # what is no plain text: code, and addresses
Link = Callable[[str], str]


def plain(text: str) -> str:
    """Text in which no character has a meaning of its own."""
    return re.sub(r"([\\*_\[\]<>#|~$])", r"\\\1", text)


def code(text: object) -> str:
    return f"`{text}`"


def inline(text: str, link: Link = code) -> str:
    """A docstring's words: addresses become links, and `link` says what a word in backticks becomes."""
    return "".join(_word(part, link) for part in WORDS.split(text))


def _word(part: str, link: Link) -> str:
    if part.startswith("`"):
        return link(part[1:-1])
    return f"<{part}>" if WORDS.fullmatch(part) else plain(part)


def docstring(text: str, link: Link = code) -> str:
    """A docstring as markdown: its indented lines, formulas and tables, stay as they stand."""
    return "\n\n".join(_block(block, link) for block in text.split("\n\n"))


def _block(block: str, link: Link) -> str:
    if block.startswith("    "):
        return fence(re.sub(r"^    ", "", block, flags=re.MULTILINE), "text")
    if not block.startswith("- "):
        block = block.replace("\n- ", "\n\n- ", 1)  # a list begins after an empty line
    return "\n".join(inline(line, link) for line in block.split("\n"))


def fence(text: str, language: str) -> str:
    return f"```{language}\n{text}\n```"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    """Markdown on one line; a bar would end the cell, in code too."""
    return re.sub(r"(?<!\\)\|", r"\\|", text.replace("\n", " "))


def contents(places: Iterable[str], depth: int = 1) -> str:
    """A hidden table of contents: what the navigation beside the page lists."""
    return "\n".join(["```{toctree}", ":hidden:", f":maxdepth: {depth}", "", *places, "```"])
