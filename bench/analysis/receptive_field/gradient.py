"""Gradient of the centre pixel of a network's last map with respect to the input image.

The effective receptive field of Luo et al., "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks",
NeurIPS 2016, https://arxiv.org/abs/1701.04128, on real images as RepLKNet measures it, https://arxiv.org/abs/2203.06717.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bench.workload.build import WrongResult
from methods import Unsupported

BATCH = 16  # images per forward pass


class OutputPixel(NamedTuple):
    """The output pixel whose gradient is computed: the module of the last map, the map's (H, W), and the pixel's centre.

    `centre` is in pixels of the image, with (0, 0) the centre of the first pixel, rounded to multiples of 0.5.
    """

    layer: str
    size: tuple[int, int]
    centre: tuple[float, float]


class LastMap:
    """Finds the last map of a forward pass: the last output (B, C, H, W) or (B, H, W, C) with H, W > 1 of any module.

    This map is the input of the global mean or of the head. Modules with "Norm" in their class name, and views of their outputs,
    are skipped: the sum over the channels of a layer norm's output is constant. H and W are the two axes whose proportions are
    closest to those of the image.
    """

    def __init__(self, image: tuple[int, int]):
        self.image, self.layer, self.tokens = image, "", False
        self.map: Tensor | None = None
        self.normed: tuple[Tensor, int] | None = None  # last output of a norm over channels, and its version at that time

    def record_norm(self, norm: nn.Module, output: Any) -> None:
        """Store the output of a norm.

        Batch norms are ignored, as they only scale in evaluation mode, and so are modules with children, which may end in another
        layer.
        """
        if isinstance(output, Tensor) and not isinstance(norm, _BatchNorm) and not any(norm.children()):
            self.normed = output, output._version

    def _is_normed(self, output: Tensor) -> bool:
        """Return True for the output of the last norm or a view of it, unless it was modified in place since."""
        if self.normed is None:
            return False
        norm, version = self.normed
        return output._version == version and output.untyped_storage().data_ptr() == norm.untyped_storage().data_ptr()

    def record(self, name: str, output: Any) -> None:
        """Store the output of a module if it is a map, or note that the features are tokens (B, N, C)."""
        if not isinstance(output, Tensor) or output.dim() < 3:
            return
        if output.dim() == 4 and self._height_axis(output) is not None and not self._is_normed(output):
            self.map, self.layer, self.tokens = output, name, False
        elif output.dim() == 3 and min(output.shape[1:]) > 1:
            self.tokens = True

    def _height_axis(self, output: Tensor) -> int | None:
        """Return the axis of H, or None if the output is no map."""
        height, width = self.image
        axes = [axis for axis in (2, 1) if min(output.shape[axis : axis + 2]) > 1]
        return min(axes, key=lambda i: abs(output.shape[i] * width - output.shape[i + 1] * height), default=None)

    def centre_pixel(self) -> tuple[Tensor, OutputPixel]:
        """Return the sum over images and channels of the pixel (H // 2, W // 2), and its description.

        Raises `Unsupported` if there is no map.
        """
        if self.map is None or self.tokens:
            raise Unsupported("features are tokens, not maps" if self.tokens else "no module returns a map of more than one pixel")
        first = self._height_axis(self.map)
        assert first is not None
        size = self.map.shape[first], self.map.shape[first + 1]
        total = self.map.select(first, size[0] // 2).select(first, size[1] // 2).sum()
        height, width = (round(2 * (side // 2 + 0.5) * image / side - 1) / 2 for side, image in zip(size, self.image))
        return total, OutputPixel(self.layer, size, (height, width))


@contextmanager
def track_last_map(network: nn.Module, image: tuple[int, int]) -> Iterator[LastMap]:
    """Record the last map of the forward passes in this context. All modules but the network itself are hooked."""
    last_map = LastMap(image)

    def record(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if "Norm" in type(module).__name__:
            last_map.record_norm(module, output)
        else:
            last_map.record(name, output)

    handles = [module.register_forward_hook(partial(record, name)) for name, module in network.named_modules() if name]
    try:
        yield last_map
    finally:
        for handle in handles:
            handle.remove()


def mean_abs_gradient(network: nn.Module, images: Tensor) -> tuple[np.ndarray, OutputPixel]:
    """Return the mean over images and channels of |gradient|, (H, W) in float64, and the output pixel.

    Raises `Unsupported` if there is no last map, and `WrongResult` if the gradient vanishes or is not finite.
    """
    total, pixel = np.zeros(images.shape[2:]), None
    for batch in images.split(BATCH):
        gradient, pixel = _gradient(network, batch)
        total += gradient.abs().double().sum((0, 1)).cpu().numpy()
    assert pixel is not None
    if not np.isfinite(total).all() or not total.any():
        state = "does not depend on the image" if np.isfinite(total).all() else "has a gradient that is not finite"
        raise WrongResult(f"the centre pixel of the last map ({pixel.layer}) {state}")
    return total / (len(images) * images.shape[1]), pixel


def _gradient(network: nn.Module, batch: Tensor) -> tuple[Tensor, OutputPixel]:
    batch = batch.clone().requires_grad_()
    with track_last_map(network, (batch.shape[2], batch.shape[3])) as last_map:
        network(batch)
    total, pixel = last_map.centre_pixel()
    return torch.autograd.grad(total, batch)[0], pixel


@torch.no_grad()
def calibrate_batch_norms(network: nn.Module, images: Tensor) -> nn.Module:
    """Set the running statistics of the batch norms of an untrained network to those of images, in place. Return the network.

    With their initial statistics the norms are the identity, so an operator with small output would contribute little compared
    with the residual branch, while in training the norms scale it up. The network stays in evaluation mode.
    """
    norms = [(module, module.momentum) for module in network.modules() if isinstance(module, _BatchNorm)]
    for norm, _ in norms:
        norm.train().momentum = None  # cumulative mean over batches
    for batch in images.tensor_split(-(-len(images) // BATCH)):  # nearly equal sizes, because each batch has the same weight
        network(batch)
    for norm, momentum in norms:
        norm.eval().momentum = momentum
    return network
