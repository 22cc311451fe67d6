"""What of an image the middle of the last map depends on: gradients of one output pixel with respect to the input.

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

BATCH = 16  # images at once


class Middle(NamedTuple):
    """The output pixel whose gradient is taken: the module that gives its map, the map's (H, W), and where its middle lies.

    `centre` is in pixels of the image, (0, 0) in the middle of the first, rounded to halves.
    """

    layer: str
    size: tuple[int, int]
    centre: tuple[float, float]


class Maps:
    """Watches a forward for the last map: the last output (B, C, H, W) or (B, H, W, C) with H, W > 1 of any module.

    That is what a global mean or a head is given. Modules with "Norm" in their class's name are passed over: the sum over the
    channels of a layer norm's output is a constant, and so is that of a view of it. Of a map's axes those that have the image's
    proportions are H and W.
    """

    def __init__(self, image: tuple[int, int]):
        self.image, self.layer, self.tokens = image, "", False
        self.map: Tensor | None = None
        self.normed: tuple[Tensor, int] | None = None  # the last output of a norm over channels, and its version then

    def pass_over(self, norm: nn.Module, output: Any) -> None:
        """Remember what a norm gave, but for batch norms, in evaluation mode a scale, and for blocks that end in another layer."""
        if isinstance(output, Tensor) and not isinstance(norm, _BatchNorm) and not any(norm.children()):
            self.normed = output, output._version

    def _is_normed(self, output: Tensor) -> bool:
        """Whether this is the norm's output, or a view of it, and nothing was done to it in place since."""
        if self.normed is None:
            return False
        norm, version = self.normed
        return output._version == version and output.untyped_storage().data_ptr() == norm.untyped_storage().data_ptr()

    def see(self, name: str, output: Any) -> None:
        if not isinstance(output, Tensor) or output.dim() < 3:
            return
        if output.dim() == 4 and self._first(output) is not None and not self._is_normed(output):
            self.map, self.layer, self.tokens = output, name, False
        elif output.dim() == 3 and min(output.shape[1:]) > 1:
            self.tokens = True

    def _first(self, output: Tensor) -> int | None:
        """The place of H among the map's axes, or None where it is no map."""
        height, width = self.image
        places = [place for place in (2, 1) if min(output.shape[place : place + 2]) > 1]
        return min(places, key=lambda i: abs(output.shape[i] * width - output.shape[i + 1] * height), default=None)

    def middle(self) -> tuple[Tensor, Middle]:
        """The sum over images and channels of the pixel (H // 2, W // 2), and which it is; raises `Unsupported`."""
        if self.map is None or self.tokens:
            raise Unsupported("features are tokens, not maps" if self.tokens else "no module gives a map of more than one pixel")
        first = self._first(self.map)
        assert first is not None
        size = self.map.shape[first], self.map.shape[first + 1]
        pixel = self.map.select(first, size[0] // 2).select(first, size[1] // 2).sum()
        height, width = (round(2 * (side // 2 + 0.5) * image / side - 1) / 2 for side, image in zip(size, self.image))
        return pixel, Middle(self.layer, size, (height, width))


@contextmanager
def watched(network: nn.Module, image: tuple[int, int]) -> Iterator[Maps]:
    """The maps of the forwards within; every module is looked at, the network itself excepted."""
    maps = Maps(image)

    def look(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if "Norm" in type(module).__name__:
            maps.pass_over(module, output)
        else:
            maps.see(name, output)

    handles = [module.register_forward_hook(partial(look, name)) for name, module in network.named_modules() if name]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def contributions(network: nn.Module, images: Tensor) -> tuple[np.ndarray, Middle]:
    """Mean over images and channels of |gradient|: (H, W), float64; and of which pixel.

    Raises `Unsupported` where there is no last map, `WrongResult` where the gradient vanishes or is not finite.
    """
    total, middle = np.zeros(images.shape[2:]), None
    for batch in images.split(BATCH):
        gradient, middle = _gradient(network, batch)
        total += gradient.abs().double().sum((0, 1)).cpu().numpy()
    assert middle is not None
    if not np.isfinite(total).all() or not total.any():
        state = "does not depend on the image" if np.isfinite(total).all() else "has a gradient that is not finite"
        raise WrongResult(f"the middle of its last map, of {middle.layer}, {state}")
    return total / (len(images) * images.shape[1]), middle


def _gradient(network: nn.Module, batch: Tensor) -> tuple[Tensor, Middle]:
    batch = batch.clone().requires_grad_()
    with watched(network, (batch.shape[2], batch.shape[3])) as maps:
        network(batch)
    pixel, middle = maps.middle()
    return torch.autograd.grad(pixel, batch)[0], middle


@torch.no_grad()
def settle_norms(network: nn.Module, images: Tensor) -> nn.Module:
    """Give the batch norms of an untrained network the statistics of images, in place; it stays in evaluation mode.

    As drawn they would let everything pass as it is: an operator whose output is small would not show beside the residual path,
    though training begins with norms that scale it up.
    """
    norms = [(module, module.momentum) for module in network.modules() if isinstance(module, _BatchNorm)]
    for norm, _ in norms:
        norm.train().momentum = None  # the mean over batches
    for batch in images.tensor_split(-(-len(images) // BATCH)):  # even, for each batch counts the same
        network(batch)
    for norm, momentum in norms:
        norm.eval().momentum = momentum
    return network
