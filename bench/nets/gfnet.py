"""GFNet: transformer blocks with global filters instead of attention.

Rao et al., "Global Filter Networks for Image Classification", NeurIPS 2021, https://arxiv.org/abs/2107.00645. A patch embedding and
a position embedding are followed by blocks

    x = x + g MLP(norm(filter(norm(x))))

with one residual connection around both. The head is linear on the mean of the normalised pixels. `gfnet_ti|xs|s|b` have one stage
with patches of 16 x 16 and no g. `gfnet_h_ti|h_s|h_b` have four stages, with patches of 4 x 4 pixels and then of 2 x 2 pixels of
the previous stage, and a learned g per channel.

Differences from the published code (equal up to rounding): maps instead of tokens, which may be non-square.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.nets import NetworkSpec, Size
from bench.nets.layers import ChannelMlp, ChannelNorm, drop_paths, load, output_size, truncated_normal
from methods.global_filter import GlobalFilter
from methods.parts.filter_resize import Resize
from methods.parts.spectral import pair


class Config(NamedTuple):
    """Channels and number of blocks per stage, side of the first patches, and initial value of g."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    patch: int
    scale: float | None = None


CONFIGS = {
    "gfnet_ti": Config((256,), (12,), 16),
    "gfnet_xs": Config((384,), (12,), 16),
    "gfnet_s": Config((384,), (19,), 16),
    "gfnet_b": Config((512,), (19,), 16),
    "gfnet_h_ti": Config((64, 128, 256, 512), (3, 3, 10, 3), 4, 1e-3),
    "gfnet_h_s": Config((96, 192, 384, 768), (3, 3, 10, 3), 4, 1e-5),
    "gfnet_h_b": Config((96, 192, 384, 768), (3, 3, 27, 3), 4, 1e-6),
}


def build(spec: NetworkSpec, *, drop_path: float = 0.0, resize: Resize = "native") -> GFNet:
    """Build a network by name. `resize` is that of the filters; unless it is "native", the position embedding is interpolated."""
    return GFNet(CONFIGS[spec.name], spec.classes, spec.in_channels, spec.resolution, drop_path, resize)


class PositionEmbedding(nn.Module):
    """x + P with a learned P (1, C, H, W). Other map sizes raise ValueError; with `interpolates` P is interpolated for them."""

    ways = ("bicubic",)

    def __init__(self, channels: int, size: Size, interpolates: bool):
        super().__init__()
        self.interpolates = interpolates
        self.weight = nn.Parameter(torch.empty(1, channels, *size))
        nn.init.trunc_normal_(self.weight, std=0.02)

    @property
    def size(self) -> Size:
        return pair(self.weight.shape[2:])

    def forward(self, x: Tensor) -> Tensor:
        size = pair(x.shape[2:])
        if size == self.size:
            return x + self.weight
        if not self.interpolates:
            raise ValueError(f"a position embedding of {self.size[0]}x{self.size[1]} does not fit a map of {size[0]}x{size[1]}")
        return x + F.interpolate(self.weight, size, mode="bicubic", align_corners=False)

    def at_resolution(self, resolution: Size, way: str) -> Self:
        """Interpolate for maps of another size from now on. The published fine-tuning interpolates once."""
        self.interpolates = True
        return self


class Block(nn.Module):
    """x + g MLP(norm(filter(norm(x)))) on (B, C, H, W). `scale` is the initial g; None omits it."""

    def __init__(self, channels: int, size: Size, resize: Resize, scale: float | None, drop_path: nn.Module):
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.filter = GlobalFilter(channels, size, resize)
        self.mlp = ChannelMlp(channels, nn.GELU(), bias=True)
        self.gamma = None if scale is None else nn.Parameter(torch.full((channels,), scale))
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        y = self.mlp(self.norm2(self.filter(self.norm1(x))))
        return x + self.drop_path(y if self.gamma is None else self.gamma[:, None, None] * y)


class GFNet(nn.Module):
    """Map images (B, in_channels, H, W) to logits (B, classes)."""

    def __init__(self, config: Config, classes: int, in_channels: int, resolution: Size, drop_path: float, resize: Resize):
        super().__init__()
        drops, inputs = iter(drop_paths(drop_path, sum(config.depths))), (in_channels, *config.widths)
        self.patch_embed, self.blocks, size = nn.ModuleList(), nn.ModuleList(), resolution
        for stage, (width, depth) in enumerate(zip(config.widths, config.depths)):
            patch = 2 if stage else config.patch
            conv = nn.Conv2d(inputs[stage], width, patch, stride=patch)
            size = output_size(conv, size)
            if not stage:
                self.pos_embed = PositionEmbedding(width, size, interpolates=resize != "native")
            self.patch_embed.append(conv)
            self.blocks.append(nn.Sequential(*(Block(width, size, resize, config.scale, next(drops)) for _ in range(depth))))
        self.norm = ChannelNorm(config.widths[-1])
        self.head = nn.Linear(config.widths[-1], classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                truncated_normal(module)

    def forward(self, x: Tensor) -> Tensor:
        for stage, (patches, blocks) in enumerate(zip(self.patch_embed, self.blocks)):
            x = patches(x)
            x = blocks(x if stage else self.pos_embed(x))
        return self.head(self.norm(x).mean((-2, -1)))

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters without weight decay (timm's convention)."""
        return {"pos_embed.weight"}

    def load_official(self, state: Mapping[str, Tensor]) -> None:
        """Load weights of a published network of this size. Raises KeyError for a missing or unknown name."""
        load(self, dict(self._renamed(*entry) for entry in state.items()))

    def _renamed(self, key: str, value: Tensor) -> tuple[str, Tensor]:
        if key == "pos_embed":  # (1, H * W, C)
            return "pos_embed.weight", value.mT.unflatten(2, self.pos_embed.size)
        if len(self.blocks) == 1:
            key = re.sub(r"^(patch_embed|blocks)\.", r"\1.0.", key)
        return key.replace(".proj.", "."), value
