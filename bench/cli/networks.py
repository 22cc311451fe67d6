"""Networks on the command line: checks, baselines, and a description of the replaced convolutions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from bench import names, nets
from bench.plan import IMAGE_CHANNELS
from bench.spec import ORIGINAL, Cell
from methods import Entry, Unsupported

if TYPE_CHECKING:
    from bench.nets.replacement import Replacements


def check(networks: Sequence[str], methods: Collection[str], res: nets.Size) -> None:
    """Build each network once on the meta device, our own for images of `res`. Imports torch, and timm or torchvision if needed.

    Raises ValueError or ConnectionError for a network that is not available, and ValueError if methods are missing or unused.
    """
    hosts = [network for network in networks if nets.is_host(network)]
    if hosts and not methods:
        raise ValueError(f"network '{hosts[0]}' needs --methods")
    if methods and not hosts and not any(map(nets.is_from_library, networks)):
        raise ValueError(f"network '{networks[0]}' has its own operators and takes no method: omit --methods")
    for network in networks:
        try:
            _build(network, res)
        except Unsupported:
            continue  # at this resolution; the row reports it
        except (ValueError, OSError):
            raise
        except Exception as error:  # a constructor may raise anything for an invalid value
            raise ValueError(f"network '{network}' cannot be built: {type(error).__name__}: {error}") from error


def _build(network: str, res: nets.Size) -> None:
    import torch

    if nets.is_from_library(network):
        from bench.nets import library

        library.check(network)
        return
    with torch.device("meta"):
        nets.build(network, (lambda *_: torch.nn.Identity()) if nets.is_host(network) else None, 1, IMAGE_CHANNELS, res)


def baseline_label(requested: str | None, usual: str, planned: Sequence[Cell], known: Mapping[str, Entry]) -> str:
    """Return the label of the baseline among the planned cells of networks, or "none".

    The default is the first network as published or, if it needs a method, with the `usual` method, else the first. `requested` is
    a label such as "resnet18 + niff", with its options in any order, or a method of the first network. Raises ValueError if no
    such cell is planned.
    """
    first = planned[0].network
    inside: dict[str, str] = {}
    for cell in planned:
        if cell.network == first:
            inside.setdefault(cell.method, cell.label)
    if requested is None:
        return next(inside[method] for method in (ORIGINAL, usual, planned[0].method) if method in inside)
    if requested == "none" or requested in inside:
        return inside.get(requested, requested)
    text = f"{first} + {requested}" if requested.partition("[")[0].strip() in known else requested
    label = names.cell_of(text, known, height=0, width=0, level="model").label
    measured = dict.fromkeys(cell.label for cell in planned)
    if label not in measured:
        raise ValueError(f"--baseline '{requested}' is not measured in this sweep; choose none or one of: {', '.join(measured)}")
    return label


def describe(network: str, method: str, known: Iterable[Entry], res: tuple[int, int]) -> str:
    """Describe which convolutions a method replaces in a library's network at a resolution. Raises ValueError."""
    from bench.workload.build import Workload

    if not nets.is_from_library(network):
        raise ValueError(f"'{network}' is our own network: convolutions are replaced only in networks of timm and torchvision")
    check([network], (), res)
    entries = {entry.name: entry for entry in known}
    axes = {"height": res[0], "width": res[1], "channels": 3, "mode": "train", "level": "model"}
    cell = names.cell_of(f"{network} + {method}", entries, **axes)
    try:
        module = Workload(cell).build("meta")
    except Unsupported as reason:
        raise ValueError(f"{cell.label}: {reason}") from reason
    return "\n".join([f"{cell.label}, images of {cell.res} px", "", *lines(module.replacements)])


def lines(replacements: Replacements) -> list[str]:
    """Return one line per replaced convolution, then the counts of the unchanged ones by reason, and the parameters."""
    longest = max(len(layer.name) for layer in replacements.replaced)
    text = [f"Replaced: {len(replacements.replaced)} convolutions"]
    for layer in replacements.replaced:
        assert layer.size is not None
        kernel, size = (f"{height}x{width}" for height, width in (layer.kernel, layer.size))
        channels = f"{layer.in_channels} -> {layer.out_channels}"
        text.append(f"  {layer.name:{longest}}  {layer.kind:9}  {kernel:>5}  {channels:>12} channels  {size:>8}")
    reasons = Counter(layer.reason for layer in replacements.unchanged)
    text.append("Unchanged: " + (", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "none"))
    before, after = replacements.params_before, replacements.params_after
    return [*text, f"Parameters: {before:,} before, {after:,} after ({100 * (after / before - 1):+.1f}%)"]
