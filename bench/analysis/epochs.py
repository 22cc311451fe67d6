"""Groups the networks of an analysis by training, in the order of their epochs, and gives them distinct titles."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

from bench.analysis.network import Network


def group_by_training(networks: Iterable[Network]) -> list[list[Network]]:
    """Return the saved epochs of each training, first to last. A network by name forms a group of one."""
    groups: dict[tuple[Network, Path | None], list[Network]] = {}
    for network in networks:
        groups.setdefault((without_weights(network), training_path(network)), []).append(network)
    return [sorted(epochs, key=lambda network: network.epoch or 0) for epochs in groups.values()]


def last_epochs(networks: Iterable[Network]) -> list[Network]:
    """Return the last saved epoch of each training, and each network by name."""
    return [epochs[-1] for epochs in group_by_training(networks)]


def without_weights(network: Network) -> Network:
    """Return the network without weights and epoch. It is equal for all epochs of a training."""
    return replace(network, weights=None, epoch=None)


def training_path(network: Network) -> Path | None:
    """Return the folder of the epochs saved by a training, or the file of other weights; None without a file."""
    return network.weights.parent if network.weights and network.training else network.weights


def unique_titles(networks: Sequence[Network], label: Callable[[Network], str]) -> list[str]:
    """Return a title per network: its label, and its suffix if it has one."""
    return [joined(label(network), suffix) for network, suffix in zip(networks, title_suffixes(networks, label))]


def title_suffixes(networks: Sequence[Network], label: Callable[[Network], str]) -> list[str]:
    """Return what distinguishes networks of equal labels: the protocol digest, then the folder of the weights; "" if not needed."""
    titles: list[tuple[str, ...]] = [(label(network),) for network in networks]
    for part in (attrgetter("protocol_digest"), weights_folder):
        counts = Counter(titles)
        titles = [(*title, part(network)) if counts[title] > 1 else title for title, network in zip(titles, networks)]
    return [joined(*title[1:]) for title in titles]


def joined(*parts: str) -> str:
    """Return the parts of a title that are not empty, with commas between them."""
    return ", ".join(filter(None, parts))


def weights_folder(network: Network) -> str:
    return str(network.weights.parent) if network.weights else ""


def file_suffix(title: str) -> str:
    """Return the suffix of a figure's file name for a network with this title."""
    return "-" + re.sub(r"[^A-Za-z0-9.=]+", "-", title).strip("-")
