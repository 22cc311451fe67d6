"""FFT-based dynamic token mixer: global circular filters, mixed per image from a few learned filters.

Tatsunami and Taki, "FFT-based Dynamic Token Mixer for Vision", AAAI 2024, https://arxiv.org/abs/2303.03932. With M = expansion * C
hidden channels and N learned half spectra K_f, which are shared by all channels,

    r = softmax_f(W_b StarReLU(W_a mean(x)))        routing (N, M), from the mixer's input
    h = act(W_1 x)                                  (M, H, W)
    y = W_2 irfft2(rfft2(h) * sum_f r_f K_f)        one circular filter of the map's size per image and channel, no biases

Differences from the published code (equal up to rounding on maps of the size of the filters):
- Channels are first, so that the transforms run along contiguous axes.
- The filters are one real matrix product of routing weights and spectra (published: a complex product).
- W_2 commutes with the inverse transform and is applied before it, which takes C transforms instead of M. Under autocast it
  therefore runs in float32, as the transforms do. W_1 and the router run in half precision.
- The spectra are made Hermitian explicitly; the published code leaves this to the inverse transform. See `spectral.hermitian`.
- Maps of another size raise ValueError, or the filters are resized; see `filter_resize` ("bicubic" is the published
  `weight_resize=True`).
- float64 is supported (published: complex64 is hard-coded).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.parts.cost import Flops, bins, rfft2_flops
from methods.parts.filter_resize import Resizable, Resize, check_resize, filter_spectrum, resize_flops
from methods.parts.freezing import Freezable
from methods.parts.spectral import Size, full_precision, irfft2, pair, product, rfft2
from methods.registry import Resolution, Unsupported, register

OFFICIAL = {
    "complex_weights": "basis",
    "pwconv1.weight": "expand",
    "act1.scale": "act.scale",
    "act1.bias": "act.bias",
    "reweight.fc1.weight": "router.0.weight",
    "reweight.act.scale": "router.1.scale",
    "reweight.act.bias": "router.1.bias",
    "reweight.fc2.weight": "router.2.weight",
    "pwconv2.weight": "project",
}


class StarReLU(nn.Module):
    """s * relu(x)^2 + b with learned scalars s and b, initially 1 and 0.

    Yu et al., "MetaFormer Baselines", https://arxiv.org/abs/2210.13452.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(x)
        if torch.is_grad_enabled():
            return torch.addcmul(self.bias, self.scale * y, y)
        return y.square_().mul_(self.scale).add_(self.bias)


def pointwise(weight: Tensor, x: Tensor) -> Tensor:
    """Apply a 1x1 convolution with weight (C_out, C_in) to x (B, C_in, P). The result (B, C_out, P) is channels first in memory."""
    # `weight @ x` would be folded into one matrix product whose output is channels last
    return torch.bmm(weight.expand(x.shape[0], -1, -1), x)


@register("dynamic_filter", paper="https://arxiv.org/abs/2303.03932")
class DynamicFilter(Resizable, Freezable):
    """DFFormer's token mixer: map-sized circular filters, mixed per image from a few learned spectra.

    `activation` is "star_relu" or "gelu"; the router always uses StarReLU. The hidden width of the router is `router_ratio` * C.
    `resize` selects how the filters are applied to maps of another size than `resolution`. Raises `Unsupported` for an invalid
    option, or if no channel, filter or router unit is left.
    """

    mixes_channels = True

    def __init__(
        self,
        channels: int,
        resolution: Resolution,
        num_filters: int = 4,
        expansion: float = 2,
        router_ratio: float = 0.25,
        activation: Literal["star_relu", "gelu"] = "star_relu",
        resize: Resize = "native",
    ):
        super().__init__()
        hidden, units = int(expansion * channels), int(router_ratio * channels)
        if min(num_filters, hidden, units) < 1:
            raise Unsupported(f"{num_filters} filters, {hidden} hidden channels and {units} router units: each must be 1 or more")
        if activation not in ("star_relu", "gelu"):
            raise Unsupported(f"activation must be star_relu or gelu, not {activation!r}")
        check_resize(resize)
        self.size, self.resize = pair(resolution), resize
        self.basis = nn.Parameter(torch.empty(num_filters, self.size[0], self.size[1] // 2 + 1, 2))
        self.expand = nn.Parameter(torch.empty(hidden, channels))
        self.project = nn.Parameter(torch.empty(channels, hidden))
        self.act: nn.Module = StarReLU() if activation == "star_relu" else nn.GELU()
        self.router = nn.Sequential(
            nn.Linear(channels, units, bias=False),
            StarReLU(),
            nn.Linear(units, num_filters * hidden, bias=False),
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise as published: normal with standard deviation 0.02, for matrices truncated at +-2."""
        nn.init.normal_(self.basis, std=0.02)
        for matrix in (self.expand, self.project, *self._router_matrices()):
            nn.init.trunc_normal_(matrix, std=0.02)

    def _router_matrices(self) -> list[Tensor]:
        return [parameter for parameter in self.router.parameters() if parameter.ndim == 2]

    def forward(self, x: Tensor) -> Tensor:
        return self._filtered(self.routing(x), self._hidden_spectrum(x), pair(x.shape[-2:]))

    def routing(self, x: Tensor) -> Tensor:
        """Return the weights (B, N, M) of the N learned filters in the filter of each hidden channel. They sum to 1 over N."""
        logits = self.router(x.mean((-2, -1))).unflatten(1, (len(self.basis), -1))
        return logits.softmax(1)

    def _hidden_spectrum(self, x: Tensor) -> Tensor:
        """Return rfft2(act(W_1 x)): (B, M, H, W//2+1)."""
        hidden = self.act(pointwise(self.expand, x.flatten(2))).unflatten(2, x.shape[2:])
        return rfft2(hidden.to(torch.promote_types(hidden.dtype, torch.float32)))

    @full_precision
    def _filtered(self, routing: Tensor, spectrum: Tensor, size: Size) -> Tensor:
        filtered = product(spectrum, self._filters(routing, size))  # the filters are not named, so that they are freed here
        pairs = torch.view_as_real(filtered)  # (B, M, H, W//2+1, 2)
        projected = pointwise(self.project, pairs.flatten(2)).unflatten(2, pairs.shape[2:])
        return irfft2(torch.view_as_complex(projected), size)

    def _filters(self, routing: Tensor, size: Size) -> Tensor:
        """Return one half spectrum per image and hidden channel: (B, M, H, W//2+1)."""
        basis = self.cached(lambda: self._basis(size), size, self.resize)
        mixed = routing.mT.flatten(0, 1) @ basis  # (B * M, 2 * H * (W//2+1))
        return torch.view_as_complex(mixed.view(len(routing), -1, size[0], size[1] // 2 + 1, 2))

    def _basis(self, size: Size) -> Tensor:
        """Return the learned spectra for maps of `size` as real rows (N, 2 * H * (W//2+1))."""
        return torch.view_as_real(filter_spectrum(self.basis, self.size, size, self.resize)).flatten(1)

    def flops(self, height: int, width: int) -> Flops:
        """Count FLOPs with cached spectra. Mixing of the filters, router and both matrices run per image."""
        filters, (hidden, channels), points = len(self.basis), self.expand.shape, bins(height, width)
        router = 2 * sum(matrix.numel() for matrix in self._router_matrices())
        matrices = 2 * hidden * channels * (height * width + 2 * points)  # W_1 on pixels, W_2 on real and imaginary parts
        filtering = hidden * points * (2 * 2 * filters + 6)  # mixing and product
        transforms = (hidden + channels) * rfft2_flops(height, width)
        kernel = filters * resize_flops(self.size, (height, width), self.resize)
        return Flops(kernel, router + matrices + filtering + transforms)

    def load_official(self, state: dict[str, Tensor]) -> None:
        """Load weights of DFFormer's `DynamicFilter`: the names of `OFFICIAL`, with `complex_weights` (H, W//2+1, N, 2).

        With GELU there is no `act1`. Raises KeyError for a missing or unknown name.
        """
        names = {official: own for official, own in OFFICIAL.items() if own in self.state_dict()}
        if state.keys() != names.keys():
            raise KeyError(f"the weights of a dynamic filter are {sorted(names)}, not {sorted(state)}")
        renamed = {names[name]: tensor for name, tensor in state.items()}
        self.load_state_dict({**renamed, "basis": renamed["basis"].permute(2, 0, 1, 3)})
