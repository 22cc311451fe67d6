"""The networks of an analysis: untrained, or with the weights of a training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench import names
from bench.axes import IMAGENET_CLASSES
from bench.plan import IMAGE_CHANNELS, Grid, cells
from bench.spec import Cell, Training, protocol_digest, protocol_name
from bench.system import torch_state
from bench.training import weights
from bench.workload.build import Workload
from methods import Entry

Size = tuple[int, int]
PRETRAINED = "pretrained"  # option of networks of a library


@dataclass(frozen=True)
class Network:
    """A network: its method and name in `cell`, the size of its images, and the file of its weights if it was trained."""

    cell: Cell  # of level "model"
    size: Size  # (H, W) of its images
    classes: int = IMAGENET_CLASSES
    channels: int = IMAGE_CHANNELS  # of an image
    data: str = ""  # data set that it was trained on
    weights: Path | None = None  # file saved by a training, or a plain state dict
    epoch: int | None = None  # number of epochs trained; None if it was not trained with this program
    epochs: int | None = None  # total number of epochs of that training
    training: str = ""  # key of the job that trained it, the same for all its epochs; empty if not trained with this program
    protocol: str = ""  # name of the training protocol; see `spec.protocol_name`
    protocol_digest: str = ""  # see `spec.protocol_digest`

    @property
    def label(self) -> str:
        """Network, method and training data set."""
        return self.cell.label + (f", {self.data}" if self.data else "")

    @property
    def finished(self) -> bool:
        """True for the weights after the last epoch, and for a network not trained with this program."""
        return self.epoch is None or self.epoch == self.epochs

    @property
    def progress(self) -> str:
        """Epochs trained, as "epoch 3 of 8"; empty if it was not trained with this program."""
        return "" if self.epoch is None else f"epoch {self.epoch} of {self.epochs}"

    @property
    def trained(self) -> bool:
        """True if it has trained weights: of this program, of a file, or as published by a library."""
        return self.epoch != 0 if self.weights is not None else dict(names.parse(self.cell.network).options).get(PRETRAINED, False)

    @cached_property
    def device(self) -> str:
        return self.cell.device

    def untrained_module(self, seed: int = 0) -> nn.Module:
        """Return the network as initialised from this seed, in evaluation mode and without published weights."""
        name = names.parse(self.cell.network)
        plain = name._replace(options=tuple(option for option in name.options if option[0] != PRETRAINED))
        return self._build(replace(self.cell, seed=seed, network=str(plain)))

    def module(self) -> nn.Module:
        """Return the network with its weights, in evaluation mode. Without a file, it is built from its name and the cell's seed.

        Raises ValueError if the weights are of another network.
        """
        module = self._build(self.cell)
        if self.weights is not None:
            state = _load_state(self.weights)
            own = module.state_dict()
            if mismatches := _mismatches(own, state):
                count = f"{len(mismatches)} names or shapes differ from its {len(own)} weights"
                raise ValueError(f"{self.weights} does not fit {self.cell.label}: {count}, first '{mismatches[0]}'")
            module.load_state_dict(state)
        return module

    def _build(self, cell: Cell) -> nn.Module:
        torch_state.seed(cell)
        return Workload(cell).network(self.classes, self.channels, self.size).to(self.device).eval()


def from_weights(paths: Iterable[Path]) -> list[Network]:
    """Return the networks of files written by `run --keep-weights`, or of folders with such files.

    Raises ValueError if there is no file or a file is of another kind.
    """
    files = [file for path in paths for file in (sorted(path.rglob(f"*{weights.SUFFIX}")) if path.is_dir() else [path])]
    if not files:
        raise ValueError(
            "no saved weights found: `run --metrics accuracy --keep-weights last` writes them; add --force if the run is complete"
        )
    return [_from_file(file) for file in files]


def _from_file(file: Path) -> Network:
    content = weights.read(file)
    protocol, cell = content["job"].protocol, content["job"].cell
    assert isinstance(protocol, Training)
    fields = {key: content[key] for key in ("classes", "channels", "epoch", "epochs", "training")}
    return Network(
        replace(cell, level="model", device="cpu"),
        (protocol.res, protocol.res),
        **fields,
        data=protocol.data,
        weights=file,
        protocol=protocol_name(cell, protocol),
        protocol_digest=protocol_digest(cell, protocol),
    )


def by_name(
    networks: Sequence[str],
    methods: Sequence[str],
    sizes: Sequence[Size],
    known: dict[str, Entry],
    load: Path | None = None,
    classes: int = IMAGENET_CLASSES,
) -> list[Network]:
    """Return networks by name: hosts with each method inside, and networks of the libraries also as published.

    `load` is a file with a state dict; it requires exactly one network. Raises ValueError if the selection is empty or `load` is
    given for several networks.
    """
    axes = {"res": tuple(sizes), "device": ("cpu",)}
    grid = Grid(methods=tuple(methods), axes=axes, level="model", networks=tuple(networks))
    selected = [Network(cell, (cell.height, cell.width), classes, weights=load) for cell in cells(grid, known)]
    if not selected:
        raise ValueError("nothing to analyse: give saved weights, or --backbone with --methods if the network is a host")
    if load is not None and len(selected) > 1:
        labels = ", ".join(network.label for network in selected)
        raise ValueError(f"--load needs exactly one network, not {len(selected)}: {labels}")
    return selected


def _mismatches(own: Mapping[str, Any], loaded: Mapping[str, Any]) -> list[str]:
    """Return the names that only one of two state dicts has, or whose shapes differ."""
    both = own.keys() & loaded.keys()
    return sorted((own.keys() ^ loaded.keys()) | {name for name in both if own[name].shape != getattr(loaded[name], "shape", None)})


def _load_state(path: Path) -> dict[str, torch.Tensor]:
    """Load a state dict: saved by a training, plain, or under `state_dict` or `model` as in published files.

    Raises ValueError for any other file.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        keys = ("weights", "state_dict", "model")
        return dict(next((content[key] for key in keys if isinstance(content.get(key), dict)), content))
    except Exception as error:  # reading another file may raise anything, in many lines
        raise ValueError(f"{path} holds no state dict") from error
