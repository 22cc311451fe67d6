"""What an analysis looks at: a network as it begins, or with the weights of a training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench import names
from bench.plan import IMAGE_CHANNELS, Axes, cells
from bench.spec import Cell, Training, protocol_name
from bench.system.torch_state import seed
from bench.training import weights as kept
from bench.workload.build import CLASSES, Workload
from methods import Entry

Size = tuple[int, int]
PRETRAINED = "pretrained"  # the option of a library's network


@dataclass(frozen=True)
class Network:
    """A network: its method and name in `cell`, the size of its images, and the file of its weights where it was trained."""

    cell: Cell  # of level "model"
    size: Size  # (H, W) of its images
    classes: int = CLASSES
    channels: int = IMAGE_CHANNELS  # of an image
    data: str = ""  # what it was trained on
    weights: Path | None = None  # kept by a training, or a plain state dict
    epoch: int | None = None  # after how many of its training's epochs; None where it was not trained here
    epochs: int | None = None  # of that training
    protocol: str = ""  # name of what it was trained under; see `spec.protocol_name`

    @property
    def label(self) -> str:
        """Network and method, and what it was trained on."""
        return self.cell.label + (f", {self.data}" if self.data else "")

    @property
    def finished(self) -> bool:
        """Whether these are the weights after the last epoch; so too where it was not trained here."""
        return self.epoch is None or self.epoch == self.epochs

    @property
    def age(self) -> str:
        """How far its training was, in words; empty where it was not trained here."""
        return "" if self.epoch is None else f"epoch {self.epoch} of {self.epochs}"

    @property
    def trained(self) -> bool:
        """Here, elsewhere, or by those who published it."""
        return self.epoch != 0 if self.weights is not None else dict(names.parse(self.cell.network).options).get(PRETRAINED, False)

    @cached_property
    def device(self) -> str:
        return self.cell.device

    def fresh(self, begin: int = 0) -> nn.Module:
        """The network before any training, drawn from seed `begin`, in evaluation mode."""
        word = names.parse(self.cell.network)
        plain = word._replace(options=tuple(option for option in word.options if option[0] != PRETRAINED))
        return self._built(replace(self.cell, seed=begin, network=str(plain)))

    def network(self) -> nn.Module:
        """The network with its weights, in evaluation mode; as its name says, from the cell's seed, where it has no file of them.

        Raises ValueError where the weights are of another network.
        """
        network = self._built(self.cell)
        if self.weights is not None:
            state = _state(self.weights)
            own = network.state_dict()
            if wrong := _misfits(own, state):
                amount = f"{len(wrong)} names or shapes differ from its {len(own)} weights"
                raise ValueError(f"{self.weights} does not fit {self.cell.label}: {amount}, first '{wrong[0]}'")
            network.load_state_dict(state)
        return network

    def _built(self, cell: Cell) -> nn.Module:
        seed(cell)
        return Workload(cell).network(self.classes, self.channels, self.size).to(self.device).eval()


def kept_in(paths: Iterable[Path]) -> list[Network]:
    """The networks of files that `run --keep-weights` wrote, or of folders of them; raises ValueError for none."""
    files = [file for path in paths for file in (sorted(path.rglob(f"*{kept.SUFFIX}")) if path.is_dir() else [path])]
    if not files:
        raise ValueError(
            "no kept weights there: `run --metrics accuracy --keep-weights last` writes them, with --force if it is done"
        )
    return [_of_file(file) for file in files]


def _of_file(file: Path) -> Network:
    found = kept.read(file)
    protocol, cell = found["job"].protocol, found["job"].cell
    assert isinstance(protocol, Training)
    size, name = (protocol.res, protocol.res), protocol_name(cell, protocol)
    cell = replace(cell, level="model", device="cpu")
    facts = {key: found[key] for key in ("classes", "channels", "epoch", "epochs")}
    return Network(cell, size, **facts, data=protocol.data, weights=file, protocol=name)


def named(
    networks: Sequence[str],
    methods: Sequence[str],
    sizes: Sequence[Size],
    known: dict[str, Entry],
    load: Path | None = None,
    classes: int = CLASSES,
) -> list[Network]:
    """Networks by name, hosts with each method inside and those of the libraries as published too; raises ValueError.

    `load` is a file with the state dict of the only one.
    """
    axes = Axes(tuple(methods), tuple(sizes), level="model", networks=tuple(networks))
    found = [Network(cell, (cell.height, cell.width), classes, weights=load) for cell in cells(axes, known)]
    if not found:
        raise ValueError("nothing to analyse: give kept weights, or --backbone with --methods where the network is a host")
    if load is not None and len(found) > 1:
        raise ValueError(f"--load is of one network, not of {len(found)}: {', '.join(one.label for one in found)}")
    return found


def _misfits(own: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Names that only one of two state dicts has, or that have another shape there."""
    both = own.keys() & given.keys()
    return sorted((own.keys() ^ given.keys()) | {name for name in both if own[name].shape != getattr(given[name], "shape", None)})


def _state(path: Path) -> dict[str, torch.Tensor]:
    """The weights in a file: kept by a training, or a state dict as such, under `state_dict` or `model` as publishers do.

    Raises ValueError for another file.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        return dict(next((found[name] for name in ("weights", "state_dict", "model") if isinstance(found.get(name), dict)), found))
    except Exception as error:  # whatever a foreign file makes the reader raise, in many lines
        raise ValueError(f"{path} holds no state dict of weights") from error
