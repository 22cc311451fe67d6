"""Networks of a sweep: checks, and the baseline among them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from bench import names, nets
from bench.plan import IMAGE_CHANNELS
from bench.spec import ORIGINAL, Cell
from methods import Entry, Unsupported


def check(networks: Sequence[str], methods: Collection[str], res: nets.Size) -> None:
    """Build each network once on the meta device, our own for images of `res`. Imports torch, and timm or torchvision if needed.

    Raises ValueError or ConnectionError for a network that is not available, and ValueError if methods are missing or unused.
    """
    kinds = [nets.kind_of(network) for network in networks]
    hosts = [network for network, kind in zip(networks, kinds) if kind == "host"]
    if hosts and not methods:
        raise ValueError(f"network '{hosts[0]}' needs --methods")
    if methods and not hosts and "library" not in kinds:
        raise ValueError(f"network '{networks[0]}' has its own operators and takes no method: omit --methods")
    for network, kind in zip(networks, kinds):
        try:
            _build(network, kind, res)
        except Unsupported:
            continue  # at this resolution; the row reports it
        except (ValueError, OSError):
            raise
        except Exception as error:  # a constructor may raise anything for an invalid value
            raise ValueError(f"network '{network}' cannot be built: {type(error).__name__}: {error}") from error


def _build(network: str, kind: str, res: nets.Size) -> None:
    import torch

    if kind == "library":
        from bench.nets import library

        library.check(network)
        return
    with torch.device("meta"):
        nets.build(network, (lambda *_: torch.nn.Identity()) if kind == "host" else None, 1, IMAGE_CHANNELS, res)


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
