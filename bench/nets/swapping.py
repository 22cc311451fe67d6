"""Replacement of the convolutions of an existing network, for notebooks and scripts. The command line uses `replacement`.

network = timm.create_model("resnet18")
swapped, report = swap(network, "niff[hidden=(16,8)]", resolution=224)
print(report)
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

import methods
from bench.kinds import RESOLUTION
from bench.names import cell_of
from bench.nets import Build, Size
from bench.nets.replacement import Replacements, replace_convolutions

DEFAULT_SIZE = (224, 224)  # of the images, for networks that declare none


def swap(
    model: nn.Module,
    method: str | Build,
    where: str = "all",
    min_kernel: int = 3,
    resolution: int | Size | None = None,
    in_channels: int | None = None,
) -> tuple[nn.Module, Replacements]:
    """Return a copy of `model` with an operator in place of its convolutions, and the report, which `print` shows as a table.

    - `method`: a registered name, with options as in the tables ("niff", "niff[hidden=(8,4)]", "dwconv[kernel=9]"), or a function
      (channels, (H, W)) -> operator. If the function has a parameter `out_channels`, it also builds operators with another number
      of output channels.
    - `where`: "all", "depthwise" or "dense" convolutions, with kernels of at least `min_kernel`; see `replacement`.
    - `resolution`: that of the images, H = W or (H, W). It determines the size of every map, which many operators need. By default
      the size that timm states for the network, else 224.
    - `in_channels`: of the images. By default those of the first convolution.

    The new operators have random weights; all other layers keep their weights, device and mode. To save the result, save its
    `state_dict()`, and load it into a network that was swapped with the same arguments. Raises ValueError for an unknown method or
    option or if no convolution can be replaced, and `Unsupported` if the operator does not support one of them.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"{model!r} is not a network: give a module, such as timm.create_model('resnet18')")
    build = builder(method) if isinstance(method, str) else method
    swapped = copy.deepcopy(model)
    size = input_size(model) if resolution is None else RESOLUTION.of(resolution)
    channels = first_channels(model) if in_channels is None else in_channels
    return swapped, replace_convolutions(swapped, build, where, min_kernel, resolution=size, in_channels=channels)


def builder(label: str) -> Build:
    """Return the function (channels, resolution) -> operator of `METHOD` or `METHOD[option=value,...]`.

    Raises ValueError for an unknown method or option.
    """
    cell = cell_of(label, {entry.name: entry for entry in methods.catalogue()}, height=0, width=0)
    return partial(methods.get(cell.method).build, kernel=cell.kernel, **dict(cell.params))


def input_size(model: Any) -> Size:
    """Return (H, W) of the images for which timm configures a network, or 224 x 224 for any other network."""
    config = getattr(model, "pretrained_cfg", None)
    size = config.get("input_size") if isinstance(config, Mapping) else None
    return (size[-2], size[-1]) if size else DEFAULT_SIZE


def first_channels(model: nn.Module) -> int:
    """Return the number of input channels of the first convolution, or 3 if there is none.

    The configuration of timm is not used, because it states 3 channels for a network with `in_chans=1`, too.
    """
    return next((module.in_channels for module in model.modules() if isinstance(module, nn.Conv2d)), 3)
