"""What a command line says of networks: whether they can be had, what they are compared with, what an operator exchanges there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from bench import labels, nets
from methods import Entry, Unsupported

if TYPE_CHECKING:
    from bench.nets.swap import Swapped


def check(networks: Iterable[str], methods: Collection[str]) -> None:
    """Raises ValueError or ConnectionError for a network that cannot be had, and for one of ours that lacks a method."""
    for network in networks:
        if nets.is_open(network):
            from bench.nets import library  # imports torch, and the libraries

            library.check(network)
        elif nets.is_host(network) and not methods:
            raise ValueError(f"network '{network}' needs --methods")


def compared_with(asked: str, networks: Sequence[str], methods: Sequence[str], known: Collection[str]) -> str:
    """The label of the networks' baseline: the first one as published or, where it needs a method, with `asked` or the first.

    What `asked` names may be a label itself, such as "resnet18 + niff"; raises ValueError where no such network is measured.
    """
    if asked == "none":
        return asked
    if asked not in known:
        if asked.partition(" + ")[0] not in networks:
            raise ValueError(f"--baseline takes a label such as '{networks[0]}' for networks, or none, not '{asked}'")
        return asked
    first = networks[0]
    return f"{first} + {asked if asked in methods else methods[0]}" if nets.is_host(first) else first


def describe(network: str, method: str, known: Iterable[Entry], res: tuple[int, int]) -> str:
    """What a method exchanges in a library's network at a resolution, layer by layer; raises ValueError."""
    from bench.subject import Subject

    if not nets.is_open(network):
        raise ValueError(f"'{network}' is a network of ours: only in those of timm and torchvision are convolutions exchanged")
    check([network], ())
    entries = {entry.name: entry for entry in known}
    axes = {"height": res[0], "width": res[1], "channels": 3, "mode": "train", "level": "model"}
    cell = labels.cell_of(f"{network} + {method}", entries, **axes)
    try:
        module = Subject(cell).build("meta")
    except Unsupported as reason:
        raise ValueError(f"{cell.label}: {reason}") from reason
    return "\n".join([f"{cell.label}, images of {cell.res} px", "", *lines(module.swapped)])


def lines(swapped: Swapped) -> list[str]:
    """Every exchanged convolution, how many were kept for which reason, and the parameters."""
    longest = max(len(layer.name) for layer in swapped.exchanged)
    found = [f"Exchanged: {len(swapped.exchanged)} convolutions"]
    for layer in swapped.exchanged:
        assert layer.size is not None
        kernel, size = (f"{height}x{width}" for height, width in (layer.kernel, layer.size))
        channels = f"{layer.in_channels} -> {layer.out_channels}"
        found.append(f"  {layer.name:{longest}}  {layer.kind:9}  {kernel:>5}  {channels:>12} channels  {size:>8}")
    reasons = Counter(layer.kept for layer in swapped.left)
    found.append("Left: " + (", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "none"))
    before, after = swapped.params_before, swapped.params_after
    return [*found, f"Parameters: {before:,} before, {after:,} after ({100 * (after / before - 1):+.1f}%)"]
