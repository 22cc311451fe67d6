"""Kernels made once for inference: what an implicit or Fourier method may keep between two calls."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import torch
from torch import nn


class Freezable(nn.Module):
    """A module whose kernel depends on its weights alone, not on the image.

    `freeze()` switches to inference and lets the forward keep that kernel. One slot is kept, for the last map size; a changed
    weight, device or dtype refills it, `train()` drops it. While frozen the weights receive no gradient; the input still does.
    """

    _watched: tuple[torch.Tensor, ...] | None = None  # while frozen: the weights whose change refills the slot
    _slot: tuple[Any, Any] | None = None

    @property
    def _frozen(self) -> bool:
        return self._watched is not None

    def freeze(self) -> Self:
        self.eval()
        self._watched = (*self.parameters(), *self.buffers())  # buffers: running statistics may be part of the kernel
        return self

    def train(self, mode: bool = True) -> Self:
        if mode:
            self._watched = self._slot = None
        return super().train(mode)

    def cached(self, make: Callable[[], Any], *key: Any) -> Any:
        """`make()`, or while frozen the value it gave before for the same `key` and unchanged weights."""
        if self._watched is None:
            return make()
        stamp = (*key, *((w._version, w.data_ptr(), w.device, w.dtype) for w in self._watched))
        if self._slot is None or self._slot[0] != stamp:
            with torch.inference_mode(False), torch.no_grad(), _without_autocast(self._watched[0].device.type):
                self._slot = (stamp, make())
        return self._slot[1]


def _without_autocast(device: str) -> AbstractContextManager:
    """A kept kernel has the precision of its weights, whichever mode the first call happened to be made in."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
