"""Layers of the published networks on maps (B, C, H, W), with parameters named and shaped as published, and weight loading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from bench.nets import Size
from methods.hooks import loads_official
from methods.parts.official_weights import Weights, assign
from methods.parts.spectral import pair

EPSILON = 1e-6  # of the layer norms


class Pointwise(nn.Linear):
    """1x1 convolution with weight (C_out, C_in)."""

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
    """fc2(act(fc1(x))) at each pixel, with 4 C hidden channels."""

    def __init__(self, channels: int, act: nn.Module, bias: bool):
        super().__init__()
        self.fc1 = Pointwise(channels, 4 * channels, bias)
        self.act = act
        self.fc2 = Pointwise(4 * channels, channels, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


def truncated_normal(module: nn.Module) -> None:
    """Initialise a linear layer or convolution as published: weights normal with std 0.02, truncated at +-2, and biases 0."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def drop_paths(rate: float, depth: int) -> list[nn.Module]:
    """Return the stochastic depth of each block, with rates rising linearly from 0 to `rate`. Identities if `rate` is 0.

    Raises ValueError if `rate` is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(f"drop_path must be at least 0 and below 1, not {rate}")
    if not rate:
        return [nn.Identity() for _ in range(depth)]
    from timm.layers import DropPath  # type: ignore[attr-defined]  # importing timm takes seconds

    return [DropPath(rate * block / max(depth - 1, 1)) for block in range(depth)]


def output_size(conv: nn.Conv2d, size: Size) -> Size:
    """Return the output size of a convolution for maps of `size`. Raises ValueError if the maps are too small."""
    padding = pair(conv.padding)  # type: ignore[arg-type]  # torch's type also allows strings
    settings = zip(size, conv.kernel_size, conv.stride, padding)
    height, width = ((n + 2 * pad - kernel) // stride + 1 for n, kernel, stride, pad in settings)
    if min(height, width) < 1:
        raise ValueError(f"maps of {size[0]}x{size[1]} are too small for patches of {conv.kernel_size[0]}x{conv.kernel_size[1]}")
    return height, width


def load(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load weights by name. A submodule with a method `load_official` loads the weights below its name.

    Raises KeyError for a missing or unknown name, and ValueError for a wrong shape.
    """
    weights, loaders = Weights(state), dict(modules_with_loader(module))
    for name, submodule in loaders.items():
        own = weights.under(f"{name}.")
        submodule.load_official({key: own.take(key) for key in list(own)})
    other = [key for key in module.state_dict() if not key.startswith(tuple(f"{name}." for name in loaders))]
    values = {key: weights.take(key) for key in other}
    weights.finish()
    assign(module, module.state_dict() | values)


def modules_with_loader(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the outermost submodules that define `load_official`, with their names."""
    for name, child in module.named_children():
        if loads_official(child):
            yield prefix + name, child
        else:
            yield from modules_with_loader(child, f"{prefix}{name}.")
