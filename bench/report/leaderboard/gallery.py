"""The pictures of a run on the leaderboard: the most telling ones shown, the others linked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from urllib.parse import quote

from bench.report.text import escape

# Kinds of figures, those first that tell most at a glance.
TELLING = ("reach", "winners", "pareto", "crossover", "latency-resolution")
SHOWN = 3


def pictures(paths: Sequence[str]) -> Iterator[str]:
    """Images of up to three kinds of figures, one of each, and links to all the others; `paths` are relative to the page."""
    shown = telling(paths)
    for path in shown:
        yield f"![{words(kind(path))}: {setting(path)}]({quote(path)})\n"
    others: dict[str, list[str]] = {}
    for path in paths:
        if path not in shown:
            others.setdefault(kind(path), []).append(f"[{setting(path)}]({quote(path)})")
    if others:
        lines = [f"- {words(what)}: {'; '.join(links)}" for what, links in others.items()]
        yield "\n".join(["<details><summary>More figures</summary>\n", *lines, "\n</details>\n"])


def telling(paths: Sequence[str]) -> list[str]:
    """The first path of each kind, as many as are shown."""
    first = {kind(path): path for path in reversed(paths)}
    return [first[wanted] for wanted in TELLING if wanted in first][:SHOWN]


def kind(path: str) -> str:
    """What a figure shows: its name up to the setting, without the number of a part."""
    return re.sub(r"-\d+$", "", PurePosixPath(path).stem.partition("_")[0])


def words(what: str) -> str:
    """A kind of figure as a reader reads it."""
    return escape(what.replace("-", " against "))


def setting(path: str) -> str:
    """What a figure was measured with, as its name says it."""
    return escape(PurePosixPath(path).stem.partition("_")[2].replace("_", ", ")) or "all"
