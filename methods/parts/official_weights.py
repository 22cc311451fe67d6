"""Conversion of state dicts of official implementations, with an error for every missing and every unused key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn


class Weights:
    """A state dict that is consumed key by key. `take` raises KeyError for a missing key, `finish` for unused keys."""

    def __init__(self, state: Mapping[str, Tensor]):
        self._left = dict(state)

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def __iter__(self) -> Iterator[str]:
        return iter(self._left)

    def take(self, key: str) -> Tensor:
        """Remove and return the value of `key`. The weight (M, N, 1, 1) of a 1x1 convolution is returned as (M, N)."""
        if key not in self._left:
            raise KeyError(f"the official weights lack '{key}'")
        value = torch.as_tensor(self._left.pop(key))
        return value.flatten(1) if value.ndim == 4 and value.shape[2:] == (1, 1) else value

    def under(self, prefix: str) -> Weights:
        """Remove the keys that begin with `prefix` and return them without it."""
        keys = [key for key in self._left if key.startswith(prefix)]
        return Weights({key.removeprefix(prefix): self._left.pop(key) for key in keys})

    def drop(self, key: str) -> None:
        self._left.pop(key, None)

    def constant(self, key: str, expected: float) -> None:
        """Remove a stored setting, if present. Raises ValueError if it differs from `expected`."""
        if key in self and not torch.allclose(self.take(key).double(), torch.tensor(expected, dtype=torch.float64), rtol=1e-6):
            raise ValueError(f"the official weights are of a layer with another {key} than {expected}")

    def finish(self) -> None:
        if self._left:
            raise KeyError(f"unknown keys in the official weights: {', '.join(self._left)}")


def assign(module: nn.Module, own: Mapping[str, Tensor]) -> None:
    """Load a state dict. Raises ValueError with the name of the first tensor of a wrong shape."""
    for key, value in module.state_dict().items():
        if key in own and own[key].shape != value.shape:
            raise ValueError(f"official weight for '{key}' has shape {tuple(own[key].shape)}, the layer {tuple(value.shape)}")
    module.load_state_dict(dict(own))
