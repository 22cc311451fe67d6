"""Figures of a run on the leaderboard: the most informative are shown, the others linked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from urllib.parse import quote

from bench.report.text import escape

# Kinds of figures, the most informative first.
LEADING = ("reach", "winners", "pareto", "crossover", "latency-resolution")
SHOWN = 3


def gallery(paths: Sequence[str]) -> Iterator[str]:
    """Yield one image of each of up to three kinds of figures, and links to all others; `paths` are relative to the page."""
    shown = leading(paths)
    for path in shown:
        yield f"![{kind_text(kind(path))}: {setting_text(path)}]({quote(path)})\n"
    others: dict[str, list[str]] = {}
    for path in paths:
        if path not in shown:
            others.setdefault(kind(path), []).append(f"[{setting_text(path)}]({quote(path)})")
    if others:
        lines = [f"- {kind_text(name)}: {'; '.join(links)}" for name, links in others.items()]
        yield "\n".join(["<details><summary>More figures</summary>\n", *lines, "\n</details>\n"])


def leading(paths: Sequence[str]) -> list[str]:
    """Return the first path of each of the leading kinds."""
    first = {kind(path): path for path in reversed(paths)}
    return [first[name] for name in LEADING if name in first][:SHOWN]


def kind(path: str) -> str:
    """Return the kind of a figure from its file name, without the part number."""
    return re.sub(r"-\d+$", "", PurePosixPath(path).stem.partition("_")[0])


def kind_text(name: str) -> str:
    """Return a kind of figure as text."""
    return escape(name.replace("-", " against "))


def setting_text(path: str) -> str:
    """Return the setting of a figure from its file name, or "all"."""
    return escape(PurePosixPath(path).stem.partition("_")[2].replace("_", ", ")) or "all"
