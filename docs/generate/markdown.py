"""Markdown: docstrings, tables, links."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

MARKUP = re.compile(r"(`[^`]+`|https?://[^\s)>]*[^\s)>.,;:])")  # code and URLs
Link = Callable[[str], str]


def plain(text: str) -> str:
    """Return text with all markdown characters escaped."""
    return re.sub(r"([\\*_\[\]<>#|~$])", r"\\\1", text)


def code(text: object) -> str:
    return f"`{text}`"


def inline(text: str, link: Link = code) -> str:
    """Return one line of a docstring as markdown. URLs become links, and `link` converts words in backticks."""
    return "".join(_convert(part, link) for part in MARKUP.split(text))


def _convert(part: str, link: Link) -> str:
    if part.startswith("`"):
        return link(part[1:-1])
    return f"<{part}>" if MARKUP.fullmatch(part) else plain(part)


def docstring(text: str, link: Link = code) -> str:
    """Return a docstring as markdown. Indented lines (formulas and tables) stay unchanged."""
    return "\n\n".join(_block(block, link) for block in text.split("\n\n"))


def _block(block: str, link: Link) -> str:
    if block.startswith("    "):
        return fence(re.sub(r"^    ", "", block, flags=re.MULTILINE), "text")
    if not block.startswith("- "):
        block = block.replace("\n- ", "\n\n- ", 1)  # markdown needs an empty line before a list
    return "\n".join(inline(line, link) for line in block.split("\n"))


def fence(text: str, language: str) -> str:
    return f"```{language}\n{text}\n```"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table. The cells are markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    """Return a cell on one line, with vertical bars escaped."""
    return re.sub(r"(?<!\\)\|", r"\\|", text.replace("\n", " "))


def contents(pages: Iterable[str], depth: int = 1) -> str:
    """Return a hidden table of contents, which fills the navigation of the site."""
    return "\n".join(["```{toctree}", ":hidden:", f":maxdepth: {depth}", "", *pages, "```"])
