"""Global filter of GFNet: one learned circular filter per channel, as large as the map.

Rao et al., "Global Filter Networks for Image Classification", NeurIPS 2021, https://arxiv.org/abs/2107.00645:

    y[c] = irfft2(K[c] * rfft2(x[c]))

K (C, H, W//2+1) is a learned half spectrum. There is no pointwise convolution, no bias and no residual.

Differences from the published code (equal up to rounding on maps of the size of the filters):
- Maps are (B, C, H, W) instead of tokens (B, H * W, C).
- The transforms are not scaled: the "ortho" factors of forward and inverse transform cancel.
- The spectra are made Hermitian explicitly; the published code leaves this to the inverse transform. See `spectral.hermitian`.
- Maps of another size raise ValueError, or the filters are resized; see `filter_resize` ("bicubic" is the published fine-tuning,
  which resizes the weights once).
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

    `resize` selects how the filter is applied to maps of another size than `resolution`.
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
        """Return the taps (C, 2 * (H//2) + 1, 2 * (W//2) + 1) of the equivalent circular cross-correlation at the built size.

        For even H the offsets +H/2 and -H/2 are the same pixel; its tap is split equally between them.
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
        """Load weights of GFNet's `GlobalFilter`: `complex_weight` (H, W//2+1, C, 2). Raises KeyError for any other name."""
        if state.keys() != {"complex_weight"}:
            raise KeyError(f"the only weight of a global filter is complex_weight, not {sorted(state)}")
        self.load_state_dict({"weight": state["complex_weight"].permute(2, 0, 1, 3)})
