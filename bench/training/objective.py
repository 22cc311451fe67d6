"""The training objective: cross entropy of the network plus the penalties of its operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from bench.training.sync_batchnorm import synchronised_batchnorm
from methods.hooks import penalty_of

Cast = Callable[[], AbstractContextManager[Any]]
Criterion = Callable[[Tensor, Tensor], Tensor]


class Objective(nn.Module):
    """Maps images (B, C, H, W) and labels to two scalars, cross entropy and penalty.

    The network runs in the context `cast`, all else in float32.
    """

    def __init__(self, network: nn.Module, criterion: Criterion, cast: Cast = nullcontext):
        super().__init__()
        self.network, self.criterion, self.cast = network, criterion, cast

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with self.cast(), synchronised_batchnorm():
            logits = self.network(images)
        none = torch.zeros((), device=images.device)
        return self.criterion(logits, labels), sum(penalties(self.network), none)


def penalties(module: nn.Module) -> Iterator[Tensor]:
    """Yield the penalties of the outermost modules that have a `penalty()`: a regulariser is part of its method."""
    penalty = penalty_of(module)
    if penalty is not None:
        yield penalty
        return
    for child in module.children():
        yield from penalties(child)
