"""What a command line says of networks: whether they can be had, what they are compared with, what an operator exchanges there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from bench import names, nets
from bench.plan import IMAGE_CHANNELS
from bench.spec import ORIGINAL, Cell
from methods import Entry, Unsupported

if TYPE_CHECKING:
    from bench.nets.swap import Swapped


def check(networks: Sequence[str], methods: Collection[str], res: nets.Size) -> None:
    """Build each network once, without weights; ours for images of `res`. Costs torch, and for others the libraries.

    Raises ValueError or ConnectionError for a network that cannot be had, and ValueError where methods are missing or unused.
    """
    needy = [network for network in networks if nets.is_host(network)]
    if needy and not methods:
        raise ValueError(f"network '{needy[0]}' needs --methods")
    if methods and not needy and not any(map(nets.is_open, networks)):
        raise ValueError(f"network '{networks[0]}' is made of its own operators and takes no method: leave out --methods")
    for network in networks:
        try:
            _build(network, res)
        except Unsupported:
            continue  # at this resolution: the row will say so
        except (ValueError, OSError):
            raise
        except Exception as error:  # whatever a constructor makes of a wrong value
            raise ValueError(f"network '{network}' cannot be built: {type(error).__name__}: {error}") from error


def _build(network: str, res: nets.Size) -> None:
    import torch

    if nets.is_open(network):
        from bench.nets import library

        library.check(network)
        return
    with torch.device("meta"):
        nets.build(network, (lambda *_: torch.nn.Identity()) if nets.is_host(network) else None, 1, IMAGE_CHANNELS, res)


def compared_with(asked: str | None, usual: str, planned: Sequence[Cell], known: Mapping[str, Entry]) -> str:
    """The label of the baseline among the planned cells of networks, or none.

    By default the first network as published or, where it needs a method, with the `usual` one or else the first. `asked` is a
    label such as "resnet18 + niff", whose options may stand in any order, or a method, which is meant in the first network. Raises
    ValueError where no such cell is planned.
    """
    first = planned[0].network
    inside: dict[str, str] = {}
    for cell in planned:
        if cell.network == first:
            inside.setdefault(cell.method, cell.label)
    if asked is None:
        return next(inside[method] for method in (ORIGINAL, usual, planned[0].method) if method in inside)
    if asked == "none" or asked in inside:
        return inside.get(asked, asked)
    text = f"{first} + {asked}" if asked.partition("[")[0].strip() in known else asked
    label = names.cell_of(text, known, height=0, width=0, level="model").label
    measured = dict.fromkeys(cell.label for cell in planned)
    if label not in measured:
        raise ValueError(f"--baseline '{asked}' is not measured here; it may be none or one of: {', '.join(measured)}")
    return label


def describe(network: str, method: str, known: Iterable[Entry], res: tuple[int, int]) -> str:
    """What a method exchanges in a library's network at a resolution, layer by layer; raises ValueError."""
    from bench.workload.build import Workload

    if not nets.is_open(network):
        raise ValueError(f"'{network}' is a network of ours: only in those of timm and torchvision are convolutions exchanged")
    check([network], (), res)
    entries = {entry.name: entry for entry in known}
    axes = {"height": res[0], "width": res[1], "channels": 3, "mode": "train", "level": "model"}
    cell = names.cell_of(f"{network} + {method}", entries, **axes)
    try:
        module = Workload(cell).build("meta")
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
