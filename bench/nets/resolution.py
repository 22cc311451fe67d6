"""A trained network on images of another resolution, without training there.

An operator whose weights belong to a map size says how it meets another: `ways` names the manners, and
`at_resolution(resolution, way=)` puts it there in place. Operators without the hook run as they are, or raise.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from methods.parts.spectral import pair


def ways(network: nn.Module) -> tuple[str, ...]:
    """Every manner in which some operator meets another map size; one without a name where none has any."""
    found = {way: None for module in network.modules() for way in getattr(module, "ways", ())}
    return tuple(found) or ("",)


def adapt(network: nn.Module, way: str) -> nn.Module:
    """A copy whose operators follow the size of the maps they are given, in this manner where they know it, else in their first."""
    moved = copy.deepcopy(network)

    def follow(module: Any, inputs: tuple[Any, ...]) -> None:
        module.at_resolution(pair(inputs[0].shape[-2:]), way=way if way in module.ways else module.ways[0])

    for module in moved.modules():
        if getattr(module, "ways", ()):
            module.register_forward_pre_hook(follow)
    return moved
