"""MLP of NIFF and its input coordinates.

Notation: P is the number of points of a half spectrum, f a frequency.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = 4  # number of widths of the bumps of `broaden`: 1, 2, 4 and 8 frequencies


def coordinates(n: int, count: int, like: Tensor) -> Tensor:
    """Return the network inputs (2, count) for the frequency indices 0..count-1 of an axis of n, and for their negatives modulo n.

    Index k is at position j = (k + n//2) mod n of the shifted axis and has the coordinate j - n/2: an integer for even n, a
    half-integer for odd n, as in the official grid.
    """
    index = torch.arange(count, device=like.device)
    shifted = (torch.stack((index, -index)) + n // 2) % n
    return shifted.to(like.dtype) - n / 2


class FrequencyMLP(nn.Module):
    """2 -> hidden -> outputs with SiLU between the layers: the real or the imaginary part of every spectrum."""

    def __init__(self, hidden: tuple[int, ...], outputs: int):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise((2, *hidden)))
        self.last = nn.Linear(hidden[-1], outputs)

    @torch.no_grad()
    def broaden(self, steepness: float = 4.0) -> None:
        """Initialise the second hidden layer with bumps around frequency zero, 1, 2, 4 and 8 frequencies wide.

        Kernels then have different extents. The first layer computes |f| from pairs of opposite directions; later layers are
        unchanged.
        """
        layers: list[Any] = list(self.layers)
        first, second = layers[:2]
        pairs = first.out_features // 2
        angles = torch.arange(pairs) * (math.pi / pairs)
        directions = torch.stack((angles.cos(), angles.sin()), 1).to(first.weight)
        first.weight[: 2 * pairs] = steepness * torch.cat((directions, -directions))
        first.bias.zero_()
        widths = 2.0 ** (torch.arange(second.out_features).to(second.weight) % WIDTHS)
        second.weight.zero_()
        # the mean of |cos| is 2 / pi, and silu(z) + silu(-z) approximates |z|
        second.weight[:, : 2 * pairs] = -(math.pi / 2 / pairs / widths)[:, None]
        second.bias.fill_(steepness)

    def part(self, grid: Tensor, parity: Literal[1, -1]) -> Tensor:
        """Return the even (parity 1) or odd (parity -1) part of the output at P frequencies: (outputs, P).

        grid (2, 2, P): coordinates x and y, at f and at -f. The last layer is linear, so symmetrising the hidden features is
        equivalent to symmetrising the outputs, which are more.
        """
        features = grid.flatten(1)
        for layer in cast("Iterable[nn.Linear]", self.layers):
            features = F.silu(torch.addmm(layer.bias[:, None], layer.weight, features))
        here, mirrored = features.unflatten(1, grid.shape[1:]).unbind(1)
        bias = torch.add(self.last.bias, self.last.bias, alpha=parity) / 2
        return torch.addmm(bias[:, None], self.last.weight, torch.add(here, mirrored, alpha=parity) / 2)
