"""The spatial kernels of a network, layer by layer, at the size of map that each layer meets.

Looked at are the operators of the registry and the plain convolutions larger than 1x1. Kernels are as the layer gives them: the
weights of a convolution, which turns them by 180 degrees against the impulse responses of NIFF; no measure sees the difference.
Offset 0 is at (Kh // 2, Kw // 2):

- NIFF and the global filter are circular, as large as the map: offsets -floor(N/2)..ceil(N/2)-1. The global filter's taps at
  -N/2 and N/2 of an even N are one pixel of the circle and are added here;
- every other kernel has odd sides: an even one (patches, downsampling) gets a row and a column of zeros at its end, a dilated one
  its zeros in between, and what lies further than N - 1 pixels out can touch no two pixels of a map of N and is cut off.

Zeros further out, up to the size of the map, are meant and not stored. n kernels, I and O channels in and out.
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
from methods.niff import Niff
from methods.parts.continuous import ContinuousConv
from methods.parts.spectral import Size, pair, within_reach
from methods.shared_basis import SharedBasisConv

WITHOUT = {AFNO: "no convolution: it mixes frequencies by a nonlinear network", DynamicFilter: "its filter depends on the image"}


@dataclass(frozen=True)
class KernelBank:
    """The kernels of one layer, or why there are none."""

    layer: str
    operator: str  # class
    size: Size | None  # (H, W) of the map it met first; None where it met none
    kernels: np.ndarray  # (n, Kh, Kw) float64, offset 0 at (Kh // 2, Kw // 2)
    taps: np.ndarray  # (Kh, Kw): 1 where the layer has a tap, 0 where the kernel is 0 by construction
    n: int = 0
    rank_bound: int = 0  # most dimensions that the kernels can span
    status: str = "ok"
    reason: str = ""
    note: str = ""
    stride: int = 1

    @property
    def field(self) -> Size:
        """(H, W) that the kernel could fill: the map, or the kernel where that is larger."""
        assert self.size is not None
        return max(self.size[0], self.taps.shape[0]), max(self.size[1], self.taps.shape[1])


def operators(network: nn.Module) -> dict[str, nn.Module]:
    """Operators of the registry, whatever has a `kernel()`, and plain convolutions larger than 1x1; not what is inside of one."""
    known = tuple({methods.get(name).cls for name in methods.names()})
    found: dict[str, nn.Module] = {}
    for name, module in network.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        plain = isinstance(module, nn.Conv2d) and max(pair(module.kernel_size)) > 1
        if not inside and (plain or isinstance(module, known) or callable(getattr(module, "kernel", None))):
            found[name] = module
    return found


@torch.no_grad()
def maps(network: nn.Module, channels: int, size: Size, device: str = "cpu") -> dict[str, list[Size]]:
    """Distinct (H, W) that each operator meets when noise (1, channels, *size) goes through; none where it is not used."""
    seen: dict[str, list[Size]] = {name: [] for name in operators(network)}

    def noting(name: str) -> Callable[..., None]:
        def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            size = pair(inputs[0].shape[-2:])
            if size not in seen[name]:
                seen[name].append(size)

        return note

    hooks = [module.register_forward_pre_hook(noting(name)) for name, module in operators(network).items()]
    try:
        network(torch.randn(1, channels, *size, generator=torch.Generator().manual_seed(0)).to(device))
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def kernel_banks(network: nn.Module, met: dict[str, list[Size]]) -> Iterator[KernelBank]:
    """The kernels of every operator, one at a time: those of a large network do not fit side by side.

    `met` is what `maps` gives for this network or another of its kind. The network's operators are in float64 afterwards.
    """
    for name, module in operators(network).items():
        yield kernel_bank(name, module, met.get(name, []))


@torch.no_grad()
def kernel_bank(name: str, module: nn.Module, met: list[Size]) -> KernelBank:
    """The kernels of one operator that meets maps of these sizes."""
    reason = next((text for cls, text in WITHOUT.items() if isinstance(module, cls)), "")
    if not isinstance(module, nn.Conv2d) and not callable(getattr(module, "kernel", None)):
        return _none(name, module, met, "unsupported", reason or "it has no kernel()")
    if not met:
        return _none(name, module, met, "skipped", "not used by a forward")
    try:
        kernels, taps = _centred(module.double(), met[0])
    except Exception as error:  # whatever a kernel() raises: the row says so
        return _none(name, module, met, *diagnose(error))
    if not bool(kernels.isfinite().all()):
        return _none(name, module, met, "error", "a kernel is not finite")
    bound = min(len(kernels), int(taps.sum()), _dimensions(module))
    arrays = kernels.cpu().numpy(), taps.cpu().numpy()
    stride = max(pair(module.stride)) if isinstance(module, nn.Conv2d) else 1
    return KernelBank(name, type(module).__name__, met[0], *arrays, len(kernels), bound, note=_note(module, met), stride=stride)


def _none(name: str, module: nn.Module, met: list[Size], status: str, reason: str) -> KernelBank:
    assert status in STATUS
    return KernelBank(
        name, type(module).__name__, met[0] if met else None, np.zeros((0, 1, 1)), np.zeros((1, 1)), status=status, reason=reason
    )


def _centred(module: Any, size: Size) -> tuple[Tensor, Tensor]:
    """Kernels (n, Kh, Kw) and taps (Kh, Kw)."""
    plain = isinstance(module, nn.Conv2d)
    given: Tensor = module.weight if plain else module.kernel()
    kernels = given.flatten(0, -3).double()
    if isinstance(module, Niff | GlobalFilter):
        folded = _folded(kernels, module.size) if isinstance(module, GlobalFilter) else kernels
        return folded, torch.ones_like(folded[0])
    both = torch.cat((kernels, torch.ones_like(kernels[:1])))
    both = within_reach(_odd(_dilated(both, pair(module.dilation)) if plain else both), size)
    return both[:-1], both[-1]


def _folded(kernels: Tensor, size: Size) -> Tensor:
    """Taps at -N/2..N/2 of a circle of even N as taps at -N/2..N/2-1: the first and the last are the same pixel."""
    for axis, n in ((-2, size[0]), (-1, size[1])):
        if n % 2 == 0:
            first, middle, last = kernels.split((1, n - 1, 1), axis)
            kernels = torch.cat((first + last, middle), axis)
    return kernels


def _dilated(kernels: Tensor, dilation: Size) -> Tensor:
    height, width = ((k - 1) * step + 1 for k, step in zip(kernels.shape[-2:], dilation))
    spread = kernels.new_zeros(len(kernels), height, width)
    spread[:, :: dilation[0], :: dilation[1]] = kernels
    return spread


def _odd(kernels: Tensor) -> Tensor:
    height, width = kernels.shape[-2:]
    return F.pad(kernels, (0, 1 - width % 2, 0, 1 - height % 2))


def _dimensions(module: nn.Module) -> int:
    """Most dimensions that the method lets its kernels span, whatever their number.

    NIFF: each of h hidden features gives an even basis kernel through the real part and an odd one through the imaginary part,
    and the bias is a delta: 2 h + 1. FlexConv: the features of the kernel net and its bias, h + 1. Shared basis: the C planes of
    each of its u + s filters, (u + s) C. Else no bound of the method's.
    """
    if isinstance(module, Niff):
        return 2 * module.real.last.in_features + 1
    if isinstance(module, ContinuousConv):
        return module.net.hidden + 1
    if isinstance(module, SharedBasisConv):
        return module.coefficients.numel()
    return 2**31


def _note(module: Any, met: list[Size]) -> str:
    """What a reader must know to take the kernel for that of the layer."""
    notes = [f"meets maps of {', '.join(map(_text, met))}"] if len(met) > 1 else []
    if isinstance(module, nn.Conv2d):
        if max(module.stride) > 1:
            notes.append(f"stride {max(module.stride)}")
        if type(module) is not nn.Conv2d:
            notes.append(f"{type(module).__name__} may change its weights in the forward")
    built = module.resolution if isinstance(module, Niff) else module.size if isinstance(module, GlobalFilter) else met[0]
    if built != met[0]:
        notes.append(f"its kernel is that for maps of {_text(built)}, for which it was built")
    return "; ".join(notes)


def _text(size: Size) -> str:
    return "x".join(map(str, size))
