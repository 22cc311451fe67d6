"""A plugin that registers the literal form of each operator as METHOD_literal, with the same weights.

    python -m bench ab niff niff_literal --plugin tests/literal/plugin.py --res 56

The literal form follows the equations of the paper or its published code, without the optimisations of `methods/`.
"""

from __future__ import annotations

import importlib
from typing import Any

from torch import Tensor, nn

import methods
from methods import register

FORMS = {
    "conv": ("dwconv31",),
    "niff": ("niff", "niff_big", "niff_split", "niff_full"),
    "flexconv": ("flexconv", "flexconv_dw"),
    "dynamic_filter": ("dynamic_filter",),
    "global_filter": ("global_filter",),
    "afno": ("afno",),
    "shared_basis": ("shared_basis",),
}  # module of this folder -> methods


def register_literal(module: str, method: str) -> None:
    """Register METHOD_literal: the same module, called through the literal form."""
    form: Any = importlib.import_module(f"tests.literal.{module}").literal

    @register(f"{method}_literal", paper=methods.get(method).paper)
    class Literal(nn.Module):
        """An operator in the literal form of its equations."""

        def __init__(self, channels: int, resolution: int | tuple[int, int]):
            super().__init__()
            self.operator = methods.get(method).build(channels, resolution)

        def forward(self, x: Tensor) -> Tensor:
            return form(self.operator, x)


for _module, _methods in FORMS.items():
    for _method in _methods:
        register_literal(_module, _method)
