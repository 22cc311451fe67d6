"""Caching of kernels and spectra between inference calls, for implicit and Fourier methods."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import torch
from torch import nn


class Freezable(nn.Module):
    """A module whose kernel depends only on its weights, not on the image.

    `freeze()` switches to inference and caches the kernel of the last map size. A changed weight, device or dtype updates the
    cache; `train()` clears it. While frozen, the weights receive no gradient; the input does.
    """

    _watched: tuple[torch.Tensor, ...] | None = None  # while frozen: the tensors whose change invalidates the cache
    _cache: tuple[Any, Any] | None = None  # (key, value)

    @property
    def _frozen(self) -> bool:
        return self._watched is not None

    def freeze(self) -> Self:
        self.eval()
        self._watched = (*self.parameters(), *self.buffers())  # buffers: running statistics may be part of the kernel
        return self

    def train(self, mode: bool = True) -> Self:
        if mode:
            self._watched = self._cache = None
        return super().train(mode)

    def cached(self, make: Callable[[], Any], *key: Any) -> Any:
        """Return `make()` or, while frozen, its cached result for the same `key` and unchanged weights."""
        if self._watched is None:
            return make()
        stamp = (*key, *((w._version, w.data_ptr(), w.device, w.dtype) for w in self._watched))
        if self._cache is None or self._cache[0] != stamp:
            with torch.inference_mode(False), torch.no_grad(), _without_autocast(self._watched[0].device.type):
                self._cache = (stamp, make())
        return self._cache[1]


def _without_autocast(device: str) -> AbstractContextManager:
    """Disable autocast, so that the precision of a cached kernel does not depend on the mode of the first call."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
