"""Base class of FlexConv's dense and depthwise layers: kernels as linear combinations of masked maps on a grid."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from methods.parts.antialias import PenaltyForm, Target, alias_penalty
from methods.parts.freezing import Freezable
from methods.parts.gaussian_mask import GaussianMask, grid_axis
from methods.parts.kernel_nets import KernelNet, MultiplicativeFilterNet
from methods.parts.official_weights import Weights, assign
from methods.parts.spectral import Size, crop_to_image, pair
from methods.registry import Resolution, Unsupported

Init = Literal["official", "chang"]
Mode = Literal["cached", "infer", "train"]


def resolve_horizon(kernel_size: int | None, resolution: Resolution) -> int:
    """Return the number of grid points along an axis, which is odd. The default is the longer side of the map, plus one if even.

    Raises `Unsupported` for an even or too small `kernel_size`.
    """
    if kernel_size is None:
        side = max(pair(resolution))
        return max(side + 1 - side % 2, 3)
    if not isinstance(kernel_size, int) or kernel_size < 3 or kernel_size % 2 == 0:
        raise Unsupported(f"kernel_size (the horizon) must be an odd number of at least 3, not {kernel_size!r}")
    return kernel_size


def mask_spread(sigma: float, masked: bool = True) -> float:
    """Return the bound of the centres of the Gabor windows at initialisation."""
    return min(1.0, 1.667 * abs(sigma)) if masked else 1.0


def without_autocast(device: str) -> AbstractContextManager[Any]:
    """Disable autocast. Without autocast there is no context, because `torch.export` cannot store one around a cached kernel."""
    enabled = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if enabled else nullcontext()


@dataclass(frozen=True)
class ContinuousOptions:
    """Options of a `ContinuousConv`. Raises `Unsupported` for an unknown `init`.

    `masked` multiplies the kernel by the mask, `crop` crops it to the extent of the mask; both need a mask. `init` "chang" divides
    A and c by the square root of the fan-in of the kernel (Chang et al., "Principled Weight Initialization for Hypernetworks", ICLR
    2020). `antialias` is the factor of `penalty()` (FlexConv: 0.1 in the experiments across resolutions, else 0).
    """

    init: str
    masked: bool
    crop: bool
    antialias: float
    antialias_target: Target

    def __post_init__(self) -> None:
        if self.init not in ("official", "chang"):
            raise Unsupported(f"init must be official or chang, not {self.init!r}")


class ContinuousConv(Freezable):
    """Base class: k = s * mask(p) * (A h(p) + c) on the central part of a grid of `horizon` points per axis."""

    target: str | None = None  # device type for which "auto" decides; None: that of the input
    ways: ClassVar[tuple[str, ...]] = ("rescaled",)  # arguments of `at_resolution`
    lr_scale: ClassVar[dict[str, float]] = {"mask": 0.1}  # published factor on the learning rate of the mask
    bias: nn.Parameter

    def __init__(
        self, net: KernelNet, mask: GaussianMask | None, resolution: Resolution, kernel_size: int | None, options: ContinuousOptions
    ):
        super().__init__()
        if options.antialias and not isinstance(net, MultiplicativeFilterNet):
            raise Unsupported("the anti-aliasing penalty is defined for the kernel nets magnet, gabor and fourier")
        self.net, self.mask = net, mask
        self.init, self.masked, self.crop = options.init, options.masked, options.crop
        self.antialias, self.penalty_form = options.antialias, PenaltyForm(options.antialias_target)
        self.trained_at = max(pair(resolution))
        self.horizon = self.built_horizon = resolve_horizon(kernel_size, resolution)
        self.scale = 1.0

    def at_resolution(self, resolution: Resolution, way: str = "rescaled") -> Self:
        """Sample the same continuous kernel for maps of another resolution, in place (FlexConv's experiments across resolutions).

        For a layer built for maps of r pixels along the longer side and maps of r' pixels, a default horizon N becomes the default
        for r'. Any other horizon becomes (N - 1) r' / r + 1, rounded to an odd number. Kernel values are multiplied by (r / r')^2,
        which preserves sums over the kernel. "rescaled" is the only `way`.
        """
        ratio = max(pair(resolution)) / self.trained_at
        usual = self.built_horizon == resolve_horizon(None, self.trained_at)
        self.horizon = resolve_horizon(None if usual else max(3, 2 * round((self.built_horizon - 1) / 2 * ratio) + 1), resolution)
        self.scale = 1 / ratio**2
        return self

    def cropped(self) -> Size:
        """Return (Kh, Kw) of the kernel for the current mask."""
        if self.mask is None or not self.crop:
            return self.horizon, self.horizon
        return self.mask.sizes(self.horizon)

    def maps(self, image: Size | None = None) -> Tensor:
        """Return s * mask * [h; 1]: (hidden + 1, Kh, Kw), cropped to the taps that can touch an image (H, W)."""
        rows, columns = (grid_axis(self.horizon, size, self.net.out_bias.device) for size in self.cropped())
        h = self.net.hidden_maps(rows, columns)
        maps = torch.cat((h, torch.ones_like(h[:1])))
        if self.mask is not None and self.masked:
            maps = maps * self.mask(rows, columns)
        if self.scale != 1:
            maps = maps * self.scale
        return maps if image is None else crop_to_image(maps, image)

    def kernels(self, image: Size | None = None) -> Tensor:
        """Return all spatial kernels (outputs of the network, Kh, Kw)."""
        maps = self.maps(image)
        return (self.net.matrix() @ maps.flatten(1)).unflatten(1, maps.shape[1:])

    def size_on(self, image: Size) -> Size:
        """Return (Kh, Kw) of the kernel, cropped to the taps that can touch an image (H, W)."""
        kh, kw = self.cropped()
        return min(kh, 2 * image[0] - 1), min(kw, 2 * image[1] - 1)

    def maps_flops(self) -> int:
        kh, kw = self.cropped()
        return self.net.flops(kh * kw)

    def mode(self) -> Mode:
        """Return how a forward pass obtains the kernel: from the cache, computed, or computed with gradients."""
        if self._frozen:
            return "cached"
        return "train" if torch.is_grad_enabled() and self.net.out_weight.requires_grad else "infer"

    def device_kind(self, device: str) -> str:
        kind = self.target or device
        return "cpu" if kind == "meta" else kind

    def penalty(self) -> Tensor:
        """Return `antialias` times the penalty of `methods.parts.antialias` ("together", two standard deviations)."""
        if not self.antialias:
            return self.bias.new_zeros(())
        assert isinstance(self.net, MultiplicativeFilterNet)
        return self.antialias * alias_penalty(self.net, self.mask, self.horizon, self.penalty_form)

    def _chang_factor(self) -> float:
        """Return 1 / sqrt(fan-in) of the cropped kernel."""
        raise NotImplementedError

    @torch.no_grad()
    def _apply_chang(self) -> None:
        self.net.out_weight.mul_(self._chang_factor())
        self.net.out_bias.mul_(self._chang_factor())

    @torch.no_grad()
    def load_official(self, state: dict[str, Tensor]) -> None:
        """Load the state dict of a published layer (`FlexConv`, `CKConv`, CCNN's `FlexConv` and `SeparableFlexConv`).

        CCNN applies the Chang factor in the first forward pass. For a layer that never ran it is applied here if `init` is "chang".
        Raises KeyError for a missing or unknown key, and ValueError if the horizon, the threshold or a shape differs.
        """
        weights = Weights(state)
        fresh = "initialized" in weights and not bool(weights.take("initialized"))
        own = self.from_official(weights)
        weights.finish()
        assign(self, own)
        if fresh and self.init == "chang":
            self._apply_chang()

    def from_official(self, weights: Weights) -> dict[str, Tensor]:
        """Return the weights of kernel network, mask and bias under our names."""
        weights.drop("temperature")  # of a sigmoid mask that the published code does not implement
        weights.constant("mask_threshold", self.mask.threshold if self.mask else 0.1)
        used = int(weights.take("train_length")) if "train_length" in weights else 0
        if used not in (0, self.horizon):
            raise ValueError(f"the official layer has horizon {used}, this layer {self.horizon}: build it with kernel_size={used}")
        net = weights.under("Kernel.")
        own = {f"net.{name}": value for name, value in self.net.from_official(net).items()}
        net.finish()
        if self.mask is not None:
            own |= {f"mask.{name}": value for name, value in self.mask.from_official(weights).items()}
        return own | {"bias": weights.take("bias")}
