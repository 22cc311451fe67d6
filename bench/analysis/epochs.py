"""Which of the networks that an analysis looks at are of one training, in the order of their epochs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.analysis.network import Network


def histories(specimens: Iterable[Network]) -> list[list[Network]]:
    """The kept epochs of each training, first to last; a network by name stands alone."""
    found: dict[tuple[Network, Path | None], list[Network]] = {}
    for one in specimens:
        found.setdefault((untold(one), training(one)), []).append(one)
    return [sorted(epochs, key=lambda one: one.epoch or 0) for epochs in found.values()]


def last(specimens: Iterable[Network]) -> list[Network]:
    """The last kept epoch of each training, and each network by name."""
    return [epochs[-1] for epochs in histories(specimens)]


def untold(one: Network) -> Network:
    """The network without its weights: equal for all epochs of a training."""
    return replace(one, weights=None, epoch=None)


def training(one: Network) -> Path | None:
    """The file of its weights without the epoch in its name."""
    return one.weights and one.weights.with_name(one.weights.name.rpartition("-epoch")[0] or one.weights.name)


def titles(specimens: Sequence[Network], label: Callable[[Network], str]) -> list[str]:
    """A label each; where others have it too, then the last digits of its protocol's name, then the folder of its weights."""
    found = [label(one) for one in specimens]
    for more in (digits, folder):
        crowd = Counter(found)
        found = [", ".join(filter(None, (name, more(one) if crowd[name] > 1 else ""))) for name, one in zip(found, specimens)]
    return found


def digits(one: Network) -> str:
    """Those that stand for all settings of its protocol; empty where it was not trained here."""
    return one.protocol.rpartition(", ")[2]


def folder(one: Network) -> str:
    return str(one.weights.parent) if one.weights else ""


def file_name(title: str) -> str:
    """A part of a figure's name that stands for a network."""
    return "-" + re.sub(r"[^A-Za-z0-9.=]+", "-", title).strip("-")
