"""Figures of a run on the leaderboard: the most informative are shown, the others linked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote

from bench.report.blocks import Block, Image, Inline, Items, Link, Paragraph, join, separated
from bench.report.manifest import Figure

# Kinds of figures, the most informative first.
LEADING = ("reach", "winners", "pareto", "crossover", "latency-resolution")
SHOWN = 3


def gallery(figures: Sequence[Figure]) -> Iterator[Block]:
    """Yield one image of each of up to three kinds of figures, and links to all others; files are relative to the page."""
    shown = leading(figures)
    for figure in shown:
        yield Image(f"{kind_text(figure.kind)}: {figure.setting}", quote(figure.file))
    others: dict[str, list[Inline]] = {}
    for figure in figures:
        if figure not in shown:
            others.setdefault(figure.kind, []).append(Link(figure.setting, quote(figure.file)))
    if others:
        yield Paragraph(prose="<details><summary>More figures</summary>")
        yield Items([join(f"{kind_text(kind)}: ", separated(links, "; ")) for kind, links in others.items()])
        yield Paragraph(prose="</details>")


def leading(figures: Sequence[Figure]) -> list[Figure]:
    """Return the first figure of each of the leading kinds."""
    first = {figure.kind: figure for figure in reversed(figures)}
    return [first[kind] for kind in LEADING if kind in first][:SHOWN]


def kind_text(kind: str) -> str:
    """Return a kind of figure as text."""
    return kind.replace("-", " against ")
