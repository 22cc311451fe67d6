"""The spatial kernels of a network, per layer, at the size of the feature map of each layer.

Covers the operators of the registry and plain convolutions larger than 1x1. Kernels are as the layer returns them: the weights of
a convolution, which are the impulse response rotated by 180 degrees, or the impulse response of NIFF. No measure depends on this
rotation. Offset 0 is at (Kh // 2, Kw // 2).

- NIFF and the global filter are circular and as large as the map: offsets -floor(N/2)..ceil(N/2)-1. For even N, the taps of the
  global filter at -N/2 and N/2 are the same pixel of the circle; they are added.
- Every other kernel has odd sides. A kernel of even size (patches, downsampling) gets a row and a column of zeros at its end, a
  dilated kernel gets zeros between its taps. Taps more than N - 1 pixels from the centre are cropped: they cannot connect two
  pixels of a map of size N.

Zeros further out, up to the size of the map, are implied and not stored. n is the number of kernels; I and O are the numbers of
input and output channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import methods
from bench.spec import STATUS
from bench.workload.failures import diagnose
from methods.afno import AFNO
from methods.dynamic_filter import DynamicFilter
from methods.global_filter import GlobalFilter
from methods.hooks import has_kernel
from methods.niff import Niff
from methods.parts.continuous import ContinuousConv
from methods.parts.spectral import Size, crop_to_image, pair
from methods.shared_basis import SharedBasisConv

NO_KERNEL = {AFNO: "no convolution: a nonlinear network mixes its frequencies", DynamicFilter: "its filter depends on the image"}


@dataclass(frozen=True)
class KernelBank:
    """The kernels of one layer, or the reason why it has none."""

    layer: str
    operator: str  # class name
    size: Size | None  # (H, W) of its first input map; None if it has no input
    kernels: np.ndarray  # (n, Kh, Kw) float64, offset 0 at (Kh // 2, Kw // 2)
    taps: np.ndarray  # (Kh, Kw): 1 for taps of the layer, 0 for zeros by construction
    n: int = 0
    rank_bound: int = 0  # largest number of dimensions that the kernels can span
    status: str = "ok"
    reason: str = ""
    note: str = ""
    stride: int = 1

    @property
    def extent(self) -> Size:
        """Largest possible (H, W) of the kernel: that of the map, or of the kernel if it is larger."""
        assert self.size is not None
        return max(self.size[0], self.taps.shape[0]), max(self.size[1], self.taps.shape[1])


def find_operators(network: nn.Module) -> dict[str, nn.Module]:
    """Return the operators of the registry, modules with a `kernel()`, and plain convolutions larger than 1x1, by name.

    Modules inside of one of these are left out.
    """
    registered = tuple({methods.get(name).cls for name in methods.names()})
    operators: dict[str, nn.Module] = {}
    for name, module in network.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in operators)
        plain = isinstance(module, nn.Conv2d) and max(pair(module.kernel_size)) > 1
        if not inside and (plain or isinstance(module, registered) or has_kernel(module)):
            operators[name] = module
    return operators


@torch.no_grad()
def map_sizes(network: nn.Module, channels: int, size: Size, device: str = "cpu") -> dict[str, list[Size]]:
    """Return the distinct input sizes (H, W) of each operator in a forward pass of noise (1, channels, *size).

    The list of an operator that the forward pass does not use is empty.
    """
    sizes: dict[str, list[Size]] = {name: [] for name in find_operators(network)}

    def make_hook(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            size = pair(inputs[0].shape[-2:])
            if size not in sizes[name]:
                sizes[name].append(size)

        return hook

    handles = [module.register_forward_pre_hook(make_hook(name)) for name, module in find_operators(network).items()]
    try:
        network(torch.randn(1, channels, *size, generator=torch.Generator().manual_seed(0)).to(device))
    finally:
        for handle in handles:
            handle.remove()
    return sizes


def kernel_banks(network: nn.Module, sizes: dict[str, list[Size]]) -> Iterator[KernelBank]:
    """Yield the kernels of every operator, one operator at a time to limit memory.

    `sizes` is the result of `map_sizes` for this network or for another instance of the same architecture. The operators of the
    network are converted to float64.
    """
    for name, module in find_operators(network).items():
        yield kernel_bank(name, module, sizes.get(name, []))


@torch.no_grad()
def kernel_bank(name: str, module: nn.Module, sizes: list[Size]) -> KernelBank:
    """Return the kernels of one operator with input maps of these sizes. The bank reports any failure in its status."""
    reason = next((text for cls, text in NO_KERNEL.items() if isinstance(module, cls)), "")
    if not isinstance(module, nn.Conv2d) and not has_kernel(module):
        return _empty_bank(name, module, sizes, "unsupported", reason or "it has no kernel()")
    if not sizes:
        return _empty_bank(name, module, sizes, "skipped", "not used in the forward pass")
    try:
        kernels, taps = _centred_kernels(module.double(), sizes[0])
    except Exception as error:  # a kernel() may raise anything; the row reports it
        return _empty_bank(name, module, sizes, *diagnose(error))
    if not bool(kernels.isfinite().all()):
        return _empty_bank(name, module, sizes, "error", "a kernel is not finite")
    bound = min(len(kernels), int(taps.sum()), _method_rank_bound(module))
    arrays = kernels.cpu().numpy(), taps.cpu().numpy()
    stride = max(pair(module.stride)) if isinstance(module, nn.Conv2d) else 1
    return KernelBank(name, type(module).__name__, sizes[0], *arrays, len(kernels), bound, note=_note(module, sizes), stride=stride)


def _empty_bank(name: str, module: nn.Module, sizes: list[Size], status: str, reason: str) -> KernelBank:
    assert status in STATUS
    size = sizes[0] if sizes else None
    return KernelBank(name, type(module).__name__, size, np.zeros((0, 1, 1)), np.zeros((1, 1)), status=status, reason=reason)


def _centred_kernels(module: Any, size: Size) -> tuple[Tensor, Tensor]:
    """Return the kernels (n, Kh, Kw) and the taps (Kh, Kw)."""
    plain = isinstance(module, nn.Conv2d)
    weights: Tensor = module.weight if plain else module.kernel()
    kernels = weights.flatten(0, -3).double()
    if isinstance(module, Niff | GlobalFilter):
        folded = _fold(kernels, module.size) if isinstance(module, GlobalFilter) else kernels
        return folded, torch.ones_like(folded[0])
    both = torch.cat((kernels, torch.ones_like(kernels[:1])))
    both = crop_to_image(_pad_to_odd(_dilate(both, pair(module.dilation)) if plain else both), size)
    return both[:-1], both[-1]


def _fold(kernels: Tensor, size: Size) -> Tensor:
    """Add the first and the last tap along each axis of even size N: on the circle, -N/2 and N/2 are the same pixel."""
    for axis, n in ((-2, size[0]), (-1, size[1])):
        if n % 2 == 0:
            first, middle, last = kernels.split((1, n - 1, 1), axis)
            kernels = torch.cat((first + last, middle), axis)
    return kernels


def _dilate(kernels: Tensor, dilation: Size) -> Tensor:
    height, width = ((k - 1) * step + 1 for k, step in zip(kernels.shape[-2:], dilation))
    dilated = kernels.new_zeros(len(kernels), height, width)
    dilated[:, :: dilation[0], :: dilation[1]] = kernels
    return dilated


def _pad_to_odd(kernels: Tensor) -> Tensor:
    height, width = kernels.shape[-2:]
    return F.pad(kernels, (0, 1 - width % 2, 0, 1 - height % 2))


def _method_rank_bound(module: nn.Module) -> int:
    """Return the largest number of dimensions that the kernels of the method can span, for any number of kernels.

    NIFF: 2 h + 1. Each of h hidden features gives an even basis kernel by the real part and an odd one by the imaginary part, and
    the bias is a delta. FlexConv: h + 1, for the features of the kernel network and its bias. Shared basis: (u + s) C, for the
    C planes of each of its u + s filters. Other methods have no bound of their own.
    """
    if isinstance(module, Niff):
        return 2 * module.real.last.in_features + 1
    if isinstance(module, ContinuousConv):
        return module.net.hidden + 1
    if isinstance(module, SharedBasisConv):
        return module.coefficients.numel()
    return 2**31


def _note(module: Any, sizes: list[Size]) -> str:
    """Return the ways in which the kernel may differ from the one that the layer applies; "" if there are none."""
    notes = [f"applied to maps of {', '.join(map(_format_size, sizes))}"] if len(sizes) > 1 else []
    if isinstance(module, nn.Conv2d):
        if max(module.stride) > 1:
            notes.append(f"stride {max(module.stride)}")
        if type(module) is not nn.Conv2d:
            notes.append(f"{type(module).__name__} may change its weights in the forward pass")
    built = module.resolution if isinstance(module, Niff) else module.size if isinstance(module, GlobalFilter) else sizes[0]
    if built != sizes[0]:
        notes.append(f"the kernel is that for maps of {_format_size(built)}, for which the layer was built")
    return "; ".join(notes)


def _format_size(size: Size) -> str:
    return "x".join(map(str, size))
