"""Global filter of GFNet: one learned circular filter of the map's size for each channel.

Rao et al., "Global Filter Networks for Image Classification", NeurIPS 2021, https://arxiv.org/abs/2107.00645:

    y[c] = irfft2(K[c] * rfft2(x[c]))

K (C, H, W//2+1) is a learned half spectrum. No pointwise convolution, no bias, no residual inside.

How ours differs from the published code, equal to rounding on a map of the filters' own size:
- maps (B, C, H, W) instead of tokens (B, H * W, C);
- the transforms are not scaled: "ortho" forward and inverse cancel in a filter;
- the spectra are made Hermitian, which the published code leaves to the inverse transform; see `spectral.hermitian`;
- another map size is refused, or answered as `filter_resize` says ("bicubic" is the published fine-tuning, there done once).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from methods.parts.cost import Flops, bins, rfft2_flops
from methods.parts.filter_resize import Resizable, Resize, check_resize, filter_spectrum, resize_flops
from methods.parts.freezing import Freezable
from methods.parts.spectral import Size, filter_depthwise, full_precision, irfft2, pair
from methods.registry import Resolution, register


@register("global_filter", paper="https://arxiv.org/abs/2107.00645")
class GlobalFilter(Resizable, Freezable):
    """GFNet's global filter: a learned spectrum per channel, a circular depthwise filter as large as the map.

    `resize` says what becomes of maps of another size than `resolution`.
    """

    def __init__(self, channels: int, resolution: Resolution, resize: Resize = "native"):
        super().__init__()
        check_resize(resize)
        self.size, self.resize = pair(resolution), resize
        self.weight = nn.Parameter(torch.empty(channels, self.size[0], self.size[1] // 2 + 1, 2))
        nn.init.normal_(self.weight, std=0.02)

    @full_precision
    def forward(self, x: Tensor) -> Tensor:
        size = pair(x.shape[-2:])
        return filter_depthwise(x, self.cached(lambda: self._spectrum(size), size, self.resize))

    def _spectrum(self, size: Size) -> Tensor:
        return filter_spectrum(self.weight, self.size, size, self.resize)

    def kernel(self) -> Tensor:
        """Taps (C, 2 * (H//2) + 1, 2 * (W//2) + 1) of the circular cross-correlation that the filter is at its own size.

        The offsets +H/2 and -H/2 of an even H are one pixel of the circle: its tap is shared between them.
        """
        kernel = irfft2(self._spectrum(self.size), self.size)
        for axis, n in ((-2, self.size[0]), (-1, self.size[1])):
            half = n // 2
            index = torch.arange(half, -half - 1, -1, device=kernel.device) % n  # cross-correlation: offset d has tap -d
            kernel = kernel.index_select(axis, index)
            if n % 2 == 0:
                share = torch.ones(n + 1, dtype=kernel.dtype, device=kernel.device)
                share[[0, -1]] = 0.5
                kernel = kernel * (share[:, None] if axis == -2 else share)
        return kernel

    def flops(self, height: int, width: int) -> Flops:
        channels = len(self.weight)
        kernel = resize_flops(self.size, (height, width), self.resize)
        return Flops(channels * kernel, channels * (2 * rfft2_flops(height, width) + 6 * bins(height, width)))

    def load_official(self, state: dict[str, Tensor]) -> None:
        """Weights of GFNet's `GlobalFilter`: `complex_weight` (H, W//2+1, C, 2). Raises KeyError for any other name."""
        if state.keys() != {"complex_weight"}:
            raise KeyError(f"a global filter has the entry complex_weight, not {sorted(state)}")
        self.load_state_dict({"weight": state["complex_weight"].permute(2, 0, 1, 3)})
