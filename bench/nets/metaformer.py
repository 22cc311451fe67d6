"""DFFormer, CDFFormer and GFFormer: MetaFormer networks with Fourier filters as token mixers.

Tatsunami and Taki, "FFT-based Dynamic Token Mixer for Vision", AAAI 2024, https://arxiv.org/abs/2303.03932. The architecture is
that of Yu et al., "MetaFormer Baselines for Vision", https://arxiv.org/abs/2210.13452: four stages, each with a strided convolution
and blocks

    x = s_1 x + mixer(norm(x)),    x = s_2 x + MLP(norm(x))

with a learned scale s per channel in the last two stages. `dfformer` uses the dynamic filter in all stages, `cdfformer` a 7x7
separable convolution in the first two, `gfformer` a static filter per channel. `_k2`, `_d8` and `_afno` are the published
ablations: 2 filters, a router of C / 8 units, AFNO.

Differences from the published code (equal up to rounding): maps are channels first. The filters have the actual output size of the
strided convolutions, so images need not be multiples of 32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.nets import Build, NetworkSpec, Size
from bench.nets.layers import EPSILON, ChannelMlp, ChannelNorm, drop_paths, load, output_size, truncated_normal
from bench.nets.token_mixers import mixers
from methods.dynamic_filter import StarReLU
from methods.parts.filter_resize import Resize

DEPTHS = {"18": (3, 3, 9, 3), "36": (3, 12, 18, 3)}
WIDTHS = {"s": (64, 128, 320, 512), "m": (96, 192, 384, 576), "b": (128, 256, 512, 768)}
FIRST_SCALED_STAGE = 2  # from this stage on residuals are scaled


class Stage(NamedTuple):
    """Token mixer, number of channels and number of blocks of a stage."""

    mixer: Build
    width: int
    depth: int


def build(spec: NetworkSpec, *, drop_path: float = 0.0, resize: Resize = "native") -> MetaFormer:
    """Build a network by a name such as `dfformer_s36` or `dfformer_s18_k2`. `resize` is that of the filters."""
    family, size, *ablation = spec.name.split("_")
    kind = "_".join([family, *ablation])
    stages = list(map(Stage, mixers(kind, resize), WIDTHS[size[0]], DEPTHS[size[1:]]))
    return MetaFormer(stages, spec.classes, spec.in_channels, spec.resolution, drop_path)


class Scale(nn.Module):
    """A learned factor per channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale[:, None, None] * x


class Block(nn.Module):
    """s_1 x + mixer(norm(x)), then s_2 x + MLP(norm(x)), on (B, C, H, W)."""

    def __init__(self, channels: int, mixer: nn.Module, scaled: bool, drop_path: nn.Module):
        super().__init__()
        self.norm1, self.norm2 = (ChannelNorm(channels, bias=False) for _ in range(2))
        self.token_mixer = mixer
        self.mlp = ChannelMlp(channels, StarReLU(), bias=False)
        self.res_scale1, self.res_scale2 = (Scale(channels) if scaled else nn.Identity() for _ in range(2))
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        x = self.res_scale1(x) + self.drop_path(self.token_mixer(self.norm1(x)))
        return self.res_scale2(x) + self.drop_path(self.mlp(self.norm2(x)))


class Downsampling(nn.Module):
    """Before the first stage norm(conv(x)) with stride 4, before the others conv(norm(x)) with stride 2."""

    def __init__(self, channels: int, width: int, first: bool):
        super().__init__()
        self.pre_norm = nn.Identity() if first else ChannelNorm(channels, bias=False)
        self.conv = nn.Conv2d(channels, width, 7, 4, padding=2) if first else nn.Conv2d(channels, width, 3, 2, padding=1)
        self.post_norm = ChannelNorm(width, bias=False) if first else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.post_norm(self.conv(self.pre_norm(x)))


class Head(nn.Module):
    """Map features (B, C) to logits (B, classes): fc2(norm(relu(fc1(x))^2)), with 4 C hidden units."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.norm = nn.LayerNorm(4 * channels)
        self.fc2 = nn.Linear(4 * channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.norm(F.relu(self.fc1(x)).square()))


class MetaFormer(nn.Module):
    """Map images (B, in_channels, H, W) to logits (B, classes)."""

    def __init__(self, stages: Sequence[Stage], classes: int, in_channels: int, resolution: Size, drop_path: float = 0.0):
        super().__init__()
        drops = iter(drop_paths(drop_path, sum(stage.depth for stage in stages)))
        channels, size = in_channels, resolution
        self.downsample_layers, self.stages = nn.ModuleList(), nn.ModuleList()
        for i, (mixer, width, depth) in enumerate(stages):
            down = Downsampling(channels, width, first=not i)
            channels, size = width, output_size(down.conv, size)
            self.downsample_layers.append(down)
            operators = (mixer(width, size) for _ in range(depth))
            blocks = (Block(width, operator, i >= FIRST_SCALED_STAGE, next(drops)) for operator in operators)
            self.stages.append(nn.Sequential(*blocks))
        self.norm = nn.LayerNorm(channels, eps=EPSILON)
        self.head = Head(channels, classes)
        self.apply(truncated_normal)

    def features(self, x: Tensor) -> Tensor:
        """Return the normalised mean (B, C) of the last maps."""
        for down, stage in zip(self.downsample_layers, self.stages):
            x = stage(down(x))
        return self.norm(x.mean((-2, -1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))

    def load_official(self, state: Mapping[str, Tensor]) -> None:
        """Load weights of a published network.

        Raises KeyError for a missing or unknown name, and ValueError for a wrong shape.
        """
        load(self, state)
