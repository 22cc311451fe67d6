"""Groups the networks of an analysis by training, in the order of their epochs, and gives them distinct titles."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.analysis.network import Network


def group_by_training(networks: Iterable[Network]) -> list[list[Network]]:
    """Return the saved epochs of each training, first to last. A network by name forms a group of one."""
    groups: dict[tuple[Network, Path | None], list[Network]] = {}
    for network in networks:
        groups.setdefault((without_weights(network), training_file(network)), []).append(network)
    return [sorted(epochs, key=lambda network: network.epoch or 0) for epochs in groups.values()]


def last_epochs(networks: Iterable[Network]) -> list[Network]:
    """Return the last saved epoch of each training, and each network by name."""
    return [epochs[-1] for epochs in group_by_training(networks)]


def without_weights(network: Network) -> Network:
    """Return the network without weights and epoch. It is equal for all epochs of a training."""
    return replace(network, weights=None, epoch=None)


def training_file(network: Network) -> Path | None:
    """Return the path of the weights without the epoch in the file name; None without a file."""
    path = network.weights
    return path and path.with_name(path.name.rpartition("-epoch")[0] or path.name)


def unique_titles(networks: Sequence[Network], label: Callable[[Network], str]) -> list[str]:
    """Return a title per network: its label; for equal labels also the protocol digits, then the folder of the weights."""
    names = [label(network) for network in networks]
    for suffix in (protocol_digits, weights_folder):
        counts = Counter(names)
        names = [
            ", ".join(filter(None, (name, suffix(network) if counts[name] > 1 else ""))) for name, network in zip(names, networks)
        ]
    return names


def protocol_digits(network: Network) -> str:
    """Return the digits in the protocol's name that identify all its settings; "" if it was not trained with this program."""
    return network.protocol.rpartition(", ")[2]


def weights_folder(network: Network) -> str:
    return str(network.weights.parent) if network.weights else ""


def file_suffix(title: str) -> str:
    """Return the suffix of a figure's file name for a network with this title."""
    return "-" + re.sub(r"[^A-Za-z0-9.=]+", "-", title).strip("-")
