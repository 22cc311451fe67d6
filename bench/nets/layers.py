"""Layers of the published networks on maps (B, C, H, W), their parameters named and shaped as there, and the reading of those."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from bench.nets import Size
from methods.parts.official_weights import Weights, assign
from methods.parts.spectral import pair

EPSILON = 1e-6  # of the norms inside these networks


class Pointwise(nn.Linear):
    """A linear layer over the channels: a 1x1 convolution with the weight (C_out, C_in)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight[:, :, None, None], self.bias)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel."""

    def __init__(self, channels: int, bias: bool = True):
        super().__init__(channels, eps=EPSILON, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        y = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return y.permute(0, 3, 1, 2)


class ChannelMlp(nn.Module):
    """fc2(act(fc1(x))) at each pixel, 4 C channels inside."""

    def __init__(self, channels: int, act: nn.Module, bias: bool):
        super().__init__()
        self.fc1 = Pointwise(channels, 4 * channels, bias)
        self.act = act
        self.fc2 = Pointwise(4 * channels, channels, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


def truncated_normal(module: nn.Module) -> None:
    """The published start of a linear layer or convolution: weights normal with 0.02, cut off at 2, and biases 0."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def drop_paths(rate: float, depth: int) -> list[nn.Module]:
    """Stochastic depth of each block, whose rate rises from 0 at the first to `rate` at the last; identities where it is 0."""
    if not 0 <= rate < 1:
        raise ValueError(f"drop_path must be at least 0 and below 1, not {rate}")
    if not rate:
        return [nn.Identity() for _ in range(depth)]
    from timm.layers import DropPath  # type: ignore[attr-defined]  # timm costs seconds

    return [DropPath(rate * block / max(depth - 1, 1)) for block in range(depth)]


def output_size(conv: nn.Conv2d, size: Size) -> Size:
    """Size of the map that a convolution makes of one of `size`; raises ValueError where nothing is left."""
    padding = pair(conv.padding)  # type: ignore[arg-type]  # torch's type allows names of paddings
    settings = zip(size, conv.kernel_size, conv.stride, padding)
    height, width = ((n + 2 * pad - kernel) // stride + 1 for n, kernel, stride, pad in settings)
    if min(height, width) < 1:
        raise ValueError(f"maps of {size[0]}x{size[1]} are too small for patches of {conv.kernel_size[0]}x{conv.kernel_size[1]}")
    return height, width


def load(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Weights by name; a part with a `load_official` is given what lies under its own.

    Raises KeyError for a missing or unknown name, ValueError for a wrong shape.
    """
    weights, parts = Weights(state), dict(modules_with_loader(module))
    for name, part in parts.items():
        own = weights.under(f"{name}.")
        part.load_official({key: own.take(key) for key in list(own)})
    plain = [key for key in module.state_dict() if not key.startswith(tuple(f"{name}." for name in parts))]
    values = {key: weights.take(key) for key in plain}
    weights.finish()
    assign(module, module.state_dict() | values)


def modules_with_loader(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The outermost parts that read official weights themselves, with their names."""
    for name, child in module.named_children():
        if hasattr(child, "load_official"):
            yield prefix + name, child
        else:
            yield from modules_with_loader(child, f"{prefix}{name}.")
