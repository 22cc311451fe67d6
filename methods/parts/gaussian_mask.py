"""Gaussian mask with learned size of a continuous kernel, and the resulting crop (FlexConv)."""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor, nn

from methods.parts.official_weights import Weights

Size = tuple[int, int]


def grid_axis(horizon: int, size: int, device: torch.device) -> Tensor:
    """Return the central `size` of `horizon` equidistant positions in [-1, 1], in float64: (size,). Both numbers are odd."""
    cut = (horizon - size) // 2
    return torch.linspace(-1, 1, horizon, dtype=torch.float64, device=device)[cut : cut + size]


def cropped_size(horizon: int, mean: float, sigma: float, threshold: float, min_half_width: int = 1) -> int:
    """Return the odd number of grid points, centred, where exp(-((p - mean) / sigma)^2 / 2) exceeds `threshold`.

    The mask equals the threshold at |mean| + |sigma| sqrt(-2 ln threshold), in units of half the horizon. If this is 1 or more, the
    whole axis is retained. `min_half_width` is in grid steps.
    """
    extent = abs(mean) + abs(sigma) * math.sqrt(-2 * math.log(threshold))
    whole = horizon // 2
    half = whole if extent >= 1 else math.ceil(extent * whole) - 1
    return 2 * min(max(half, min_half_width), whole) + 1


class GaussianMask(nn.Module):
    """exp(-((y - mean_y) / sigma_y)^2 / 2) exp(-((x - mean_x) / sigma_x)^2 / 2), the same for all channels.

    `mean` and `sigma` (2,) are (rows, columns) in units of half the horizon. Without `learn_mean` the mean is constant zero.
    `epsilon` is added to sigma^2 (CCNN: 1e-8). Raises ValueError if the threshold is not between 0 and 1 or sigma is 0.

    The crop is a pair of Python integers, so that the forward pass does not synchronise with the device. It is updated from the
    parameters when their version counters change (once per optimiser step in training, never in inference) and by `train()`,
    `eval()` and `load_state_dict`. While tracing and on the meta device the last known size is used. Steps of a fused optimiser and
    writes through `.data` do not change the counters: after those, and between compiled steps, call `update(force=True)`.
    """

    def __init__(
        self,
        sigma: float = 0.075,
        learn_mean: bool = True,
        epsilon: float = 0.0,
        threshold: float = 0.1,
        min_half_width: int = 1,
    ):
        super().__init__()
        if not 0 < threshold < 1:
            raise ValueError(f"the crop threshold must be between 0 and 1, not {threshold}")
        if sigma == 0:
            raise ValueError("sigma must not be 0: the mask would be zero everywhere")
        self.epsilon, self.threshold, self.min_half_width = epsilon, threshold, min_half_width
        if learn_mean:
            self.mean = nn.Parameter(torch.zeros(2))
        else:
            self.register_buffer("mean", torch.zeros(2))
        self.sigma = nn.Parameter(torch.full((2,), sigma))
        self._values = ((0.0, sigma), (0.0, sigma))  # (mean, sigma) of rows and columns
        self._stamp: tuple[object, ...] = ()
        self.register_load_state_dict_post_hook(_update_after_load)

    def forward(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the mask (Kh, Kw) at row positions (Kh,) and column positions (Kw,)."""
        y, x = (
            torch.exp(-0.5 * (axis - mean) ** 2 / (sigma**2 + self.epsilon))
            for axis, mean, sigma in zip((rows, columns), self.mean.double(), self.sigma.double())
        )
        return (y[:, None] * x).to(self.sigma.dtype)

    def sizes(self, horizon: int) -> Size:
        """Return (Kh, Kw) of the cropped kernel."""
        self.update()
        kh, kw = (cropped_size(horizon, mean, sigma, self.threshold, self.min_half_width) for mean, sigma in self._values)
        return kh, kw

    def update(self, force: bool = False) -> None:
        """Read mean and sigma from the device if their version counters changed, or always with `force`."""
        if torch.compiler.is_compiling() or self.sigma.is_meta:
            return
        counted = not (self.mean.is_inference() or self.sigma.is_inference())
        stamp = tuple((p.data_ptr(), p._version) for p in (self.mean, self.sigma)) if counted else ()
        if force or not counted or stamp != self._stamp:
            mean, sigma = self.mean.tolist(), self.sigma.tolist()
            self._values = ((mean[0], sigma[0]), (mean[1], sigma[1]))
            self._stamp = stamp

    def from_official(self, weights: Weights) -> dict[str, Tensor]:
        """Return our state dict from FlexConv's `mask_params` (axis, (mean, sigma)) or the two vectors of CCNN."""
        if "mask_params" in weights:
            mean, sigma = weights.take("mask_params").unbind(1)
            return {"mean": mean, "sigma": sigma}
        return {"mean": weights.take("mask_mean_param"), "sigma": weights.take("mask_width_param")}

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.update(force=True)
        return self


def _update_after_load(mask: GaussianMask, incompatible_keys: object) -> None:
    mask.update(force=True)
