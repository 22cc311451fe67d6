"""Evaluation of a trained network at another resolution, without further training.

An operator whose weights depend on the map size lists its methods of adaptation in `ways`; `at_resolution(resolution, way=)` adapts
it in place. Operators without these hooks run unchanged or raise an exception.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from methods.hooks import ways_of
from methods.parts.spectral import pair


def ways(network: nn.Module) -> tuple[str, ...]:
    """Return the distinct `ways` of all operators of a network, or ("",) if there are none."""
    names = {way: None for module in network.modules() for way in ways_of(module)}
    return tuple(names) or ("",)


def adapt(network: nn.Module, way: str) -> nn.Module:
    """Return a copy whose operators adapt to the size of their input, by `way` if they support it, else by their first way."""
    adapted = copy.deepcopy(network)

    def adapt_to_input(module: Any, inputs: tuple[Any, ...]) -> None:
        known = ways_of(module)
        module.at_resolution(pair(inputs[0].shape[-2:]), way=way if way in known else known[0])

    for module in adapted.modules():
        if ways_of(module):
            module.register_forward_pre_hook(adapt_to_input)
    return adapted
