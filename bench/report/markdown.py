"""Blocks as markdown (GitHub's dialect)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabulate import tabulate

from bench.report import blocks
from bench.report.blocks import Block, Inline, Table, one_line

# `>` needs no escape after `<`, and a bar only in a table.
ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;"} | {sign: f"\\{sign}" for sign in "\\`*_"})


def document(page: Iterable[Block]) -> str:
    """Return the blocks of a page, separated by empty lines."""
    return "\n\n".join(filter(None, map(block, page))).rstrip() + "\n"


def block(content: Block) -> str:
    """Return a block without the empty line below it."""
    match content:
        case blocks.Heading(level, text):
            return f"{'#' * level} {inline(text)}"
        case blocks.Paragraph(text, prose):
            return "\n".join(filter(None, (inline(text), prose.rstrip())))
        case blocks.Quote(text):
            return f"> {inline(text)}"
        case blocks.Image(text, url):
            return f"!{inline(blocks.Link(text, url))}"
        case blocks.Items(items):
            return "\n".join(f"- {inline(item)}" for item in items)
        case Table():
            return table(content)


def table(content: Table) -> str:
    """Return a table, its legend and its footnotes."""
    align = ["left" if name in content.left else "right" for name in content.columns]
    lines = pipe([*map(_cell, content.columns)], ([*map(_cell, row)] for row in content.rows), align)
    notes = "\n".join(f"{inline(note)}  " for note in content.footnotes)  # two spaces break the line
    return "\n\n".join(filter(None, (lines, inline(content.legend), notes)))


def pipe(head: Sequence[str], rows: Iterable[Sequence[str]], align: Sequence[str]) -> str:
    """Return a table whose cells are markdown; `align` is "left" or "right" per column."""
    return tabulate(rows, head, "pipe", disable_numparse=True, colalign=align)


def _cell(text: Inline) -> str:
    return inline(text).replace("|", "\\|")


def inline(text: Inline) -> str:
    """Return inline text as markdown on one line."""
    match text:
        case str():
            return one_line(text).translate(ESCAPED)
        case blocks.Code(name):
            return _code(one_line(name).strip())
        case blocks.Bold(content):
            return f"**{inline(content)}**"
        case blocks.Emphasis(content):
            return f"*{inline(content)}*"
        case blocks.Mark(number):
            return f"<sup>{number}</sup>"
        case blocks.Link(label, url):
            return f"[{inline(label)}]({url})"
        case _:
            return "".join(map(inline, text))


def _code(name: str) -> str:
    """Return inline code, with a delimiter of more backticks than the name has in a row."""
    delimiter = "`"
    while delimiter in name:
        delimiter += "`"
    space = " " if len(delimiter) > 1 else ""
    return f"{delimiter}{space}{name}{space}{delimiter}"
