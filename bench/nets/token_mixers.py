"""Token mixers of DFFormer, CDFFormer and GFFormer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor, nn

from bench.nets import Build, Size
from bench.nets.layers import Pointwise, load
from methods.afno import AFNO
from methods.dynamic_filter import DynamicFilter, StarReLU
from methods.global_filter import GlobalFilter
from methods.parts.filter_resize import Resize

OFFICIAL_NAMES = {"dwconv.weight": "operator.weight", "complex_weights": "operator.complex_weight"} | {
    name: f"operator.{name}" for name in ("w1", "b1", "w2", "b2")
}  # official name -> name in `ExpandedMixer`


def mixers(kind: str, resize: Resize) -> tuple[Build, ...]:
    """Return the token mixers of the four stages. `resize` is that of the filters."""
    dynamic: Callable[..., nn.Module] = partial(DynamicFilter, resize=resize)
    by_kind: dict[str, tuple[Build, ...]] = {
        "dfformer": (dynamic,) * 4,
        "dfformer_k2": (partial(dynamic, num_filters=2),) * 4,
        "dfformer_d8": (partial(dynamic, router_ratio=1 / 8),) * 4,
        "dfformer_afno": (partial(ExpandedMixer, AFNO),) * 4,
        "cdfformer": (partial(ExpandedMixer, depthwise),) * 2 + (dynamic,) * 2,
        "gfformer": (partial(ExpandedMixer, partial(GlobalFilter, resize=resize)),) * 4,
    }
    return by_kind[kind]


class ExpandedMixer(nn.Module):
    """W_2 operator(StarReLU(W_1 x)) on (B, C, H, W), with the operator on 2 C channels and no biases.

    With a depthwise convolution this is MetaFormer's separable convolution, https://arxiv.org/abs/2210.13452.
    """

    def __init__(self, operator: Build, channels: int, resolution: Size):
        super().__init__()
        self.pwconv1 = Pointwise(channels, 2 * channels, bias=False)
        self.act1 = StarReLU()
        self.operator = operator(2 * channels, resolution)
        self.pwconv2 = Pointwise(2 * channels, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.pwconv2(self.operator(self.act1(self.pwconv1(x))))

    def load_official(self, state: Mapping[str, Tensor]) -> None:
        load(self, {OFFICIAL_NAMES.get(key, key): value for key, value in state.items()})


def depthwise(channels: int, resolution: Size) -> nn.Module:
    """Build a zero-padded 7x7 depthwise convolution without bias."""
    return nn.Conv2d(channels, channels, 7, padding=3, groups=channels, bias=False)
