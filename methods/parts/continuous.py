"""What FlexConv's dense and depthwise layers share: kernel net and mask on a grid, made into maps that kernels are mixed from."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from methods.parts.antialias import Target, alias_penalty
from methods.parts.freezing import Freezable
from methods.parts.gaussian_mask import GaussianMask, grid_axis
from methods.parts.kernel_nets import KernelNet, MultiplicativeFilterNet
from methods.parts.official_weights import Weights, assign
from methods.parts.spectral import Size, pair, within_reach
from methods.registry import Resolution, Unsupported

Init = Literal["official", "chang"]
Mode = Literal["kept", "infer", "train"]


def horizon_of(kernel_size: int | None, resolution: Resolution) -> int:
    """The grid's odd number of points along an axis: by default the larger side of the map, plus one where that is even."""
    if kernel_size is None:
        side = max(pair(resolution))
        return max(side + 1 - side % 2, 3)
    if not isinstance(kernel_size, int) or kernel_size < 3 or kernel_size % 2 == 0:
        raise Unsupported(f"kernel_size, the horizon, must be an odd number of at least 3, not {kernel_size!r}")
    return kernel_size


def mask_spread(sigma: float, masked: bool = True) -> float:
    """Bound of the Gabor windows' centres at initialisation."""
    return min(1.0, 1.667 * abs(sigma)) if masked else 1.0


def without_autocast(device: str) -> AbstractContextManager[Any]:
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


class ContinuousConv(Freezable):
    """Base class: k = s * mask(p) * (A h(p) + c) on the central part of a grid of `horizon` points along an axis.

    `masked` multiplies by the mask, `crop` cuts the kernel to it; without a mask neither happens. `init` "chang" divides A and c by
    the square root of the kernel's fan-in (Chang et al., "Principled Weight Initialization for Hypernetworks", ICLR 2020).
    `antialias` is the factor of `penalty()` (FlexConv: 0.1 in the experiments across resolutions, else 0).
    """

    target: str | None = None  # device type that "auto" decides for; None: the input's own
    ways: ClassVar[tuple[str, ...]] = ("rescaled",)  # in which it can be deployed at another resolution
    lr_scale: ClassVar[dict[str, float]] = {"mask": 0.1}  # for a trainer: the published factor on the mask's learning rate
    bias: nn.Parameter

    def __init__(
        self,
        net: KernelNet,
        mask: GaussianMask | None,
        resolution: Resolution,
        kernel_size: int | None,
        init: str,
        masked: bool = True,
        crop: bool = True,
        antialias: float = 0.0,
        antialias_target: Target = "gabor",
    ):
        super().__init__()
        if init not in ("official", "chang"):
            raise Unsupported(f"init must be official or chang, not {init!r}")
        if antialias and not isinstance(net, MultiplicativeFilterNet):
            raise Unsupported("the anti-aliasing penalty is defined for the kernel nets magnet, gabor and fourier")
        self.net, self.mask, self.init, self.masked, self.crop = net, mask, init, masked, crop
        self.antialias, self.antialias_target = antialias, antialias_target
        self.trained_at = max(pair(resolution))
        self.horizon = self.built_horizon = horizon_of(kernel_size, resolution)
        self.scale = 1.0

    def at_resolution(self, resolution: Resolution, way: str = "rescaled") -> Self:
        """Deploy the same continuous kernel on maps of another resolution, in place (FlexConv's experiments across resolutions).

        For maps of r' pixels along the longer side and a layer built for r the horizon N becomes that of a layer built for r'; a
        horizon that was given becomes (N - 1) r' / r + 1, rounded to an odd number. Kernel values are multiplied by (r / r')^2, so
        that sums over the kernel are kept. There is but one `way`.
        """
        ratio = max(pair(resolution)) / self.trained_at
        usual = self.built_horizon == horizon_of(None, self.trained_at)
        self.horizon = horizon_of(None if usual else max(3, 2 * round((self.built_horizon - 1) / 2 * ratio) + 1), resolution)
        self.scale = 1 / ratio**2
        return self

    def cropped(self) -> Size:
        """(Kh, Kw) of the kernel as its mask stands now."""
        if self.mask is None or not self.crop:
            return self.horizon, self.horizon
        return self.mask.sizes(self.horizon)

    def maps(self, image: Size | None = None) -> Tensor:
        """s * mask * [h; 1]: (hidden + 1, Kh, Kw), cut to the taps that can touch an image (H, W)."""
        rows, columns = (grid_axis(self.horizon, size, self.net.out_bias.device) for size in self.cropped())
        h = self.net.hidden_maps(rows, columns)
        maps = torch.cat((h, torch.ones_like(h[:1])))
        if self.mask is not None and self.masked:
            maps = maps * self.mask(rows, columns)
        if self.scale != 1:
            maps = maps * self.scale
        return maps if image is None else within_reach(maps, image)

    def kernels(self, image: Size | None = None) -> Tensor:
        """All spatial kernels (outputs of the net, Kh, Kw)."""
        maps = self.maps(image)
        return (self.net.matrix() @ maps.flatten(1)).unflatten(1, maps.shape[1:])

    def reach(self, image: Size) -> Size:
        """(Kh, Kw) of the kernel that can touch an image (H, W)."""
        kh, kw = self.cropped()
        return min(kh, 2 * image[0] - 1), min(kw, 2 * image[1] - 1)

    def maps_flops(self) -> int:
        kh, kw = self.cropped()
        return self.net.flops(kh * kw)

    def mode(self) -> Mode:
        """What a forward does now: use what it keeps, make the kernel, or make it and differentiate."""
        if self._frozen:
            return "kept"
        return "train" if torch.is_grad_enabled() and self.net.out_weight.requires_grad else "infer"

    def device_kind(self, device: str) -> str:
        kind = self.target or device
        return "cpu" if kind == "meta" else kind

    def penalty(self) -> Tensor:
        """`antialias` times the anti-aliasing penalty ("together", two standard deviations); see `methods.parts.antialias`."""
        if not self.antialias:
            return self.bias.new_zeros(())
        assert isinstance(self.net, MultiplicativeFilterNet)
        return self.antialias * alias_penalty(self.net, self.mask, self.horizon, self.antialias_target)

    def _chang_factor(self) -> float:
        """1 / sqrt(fan-in) of the cropped kernel."""
        raise NotImplementedError

    @torch.no_grad()
    def _apply_chang(self) -> None:
        self.net.out_weight.mul_(self._chang_factor())
        self.net.out_bias.mul_(self._chang_factor())

    @torch.no_grad()
    def load_official(self, state: dict[str, Tensor]) -> None:
        """State dict of the published layer (`FlexConv`, `CKConv`, CCNN's `FlexConv` and `SeparableFlexConv`).

        A CCNN layer that never ran gets the Chang factor now if `init` is "chang", as its first forward would have given it. Raises
        KeyError for a key that is missing or unknown, ValueError for a horizon, a threshold or a shape that is not this layer's.
        """
        weights = Weights(state)
        fresh = "initialized" in weights and not bool(weights.take("initialized"))
        own = self.from_official(weights)
        weights.finish()
        assign(self, own)
        if fresh and self.init == "chang":
            self._apply_chang()

    def from_official(self, weights: Weights) -> dict[str, Tensor]:
        """Kernel net, mask and bias under our names."""
        weights.drop("temperature")  # of a sigmoid mask that was never written
        weights.constant("mask_threshold", self.mask.threshold if self.mask else 0.1)
        used = int(weights.take("train_length")) if "train_length" in weights else 0
        if used not in (0, self.horizon):
            raise ValueError(
                f"the official layer ran with horizon {used}, this one with {self.horizon}: build with kernel_size={used}"
            )
        net = weights.under("Kernel.")
        own = {f"net.{name}": value for name, value in self.net.from_official(net).items()}
        net.finish()
        if self.mask is not None:
            own |= {f"mask.{name}": value for name, value in self.mask.from_official(weights).items()}
        return own | {"bias": weights.take("bias")}
