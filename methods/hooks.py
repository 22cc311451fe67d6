"""The optional hooks of a method, and the functions that read them. All other code reads hooks with these functions.

A hook is an attribute or method of the `nn.Module` with a name and type of `Hooks`. A method defines the hooks that it needs. This
module does not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from methods.parts.cost import Flops
    from methods.registry import Resolution


class Hooks(Protocol):
    """Every hook with its type and purpose. All are optional: no class has to derive from this one.

    C is the number of channels. `no_weight_decay` and `replacements` are hooks of networks, the others of operators.
    """

    target: str | None
    """Device type that selects the code path. "cuda", for example; None: that of the input."""

    backend: str
    """Algorithm of the convolution. "direct" must be a value, for counts of the direct form."""

    ways: Sequence[str]
    """Ways to adapt to another map size. The preferred one is the first; `--eval-res` tries each of them."""

    lr_scale: Mapping[str, float]
    """Factors on the learning rate, by prefixes of parameter names."""

    mixes_channels: bool
    """True if an output channel depends on several input channels. If so, no 1x1 is added when it replaces a dense convolution."""

    inert: Sequence[str]
    """Parameters whose gradient is zero by construction, by name."""

    not_exportable: str
    """Reason why `torch.export` does not support the operator. Empty if it does."""

    replacements: Any
    """Report on the replaced convolutions of a network. A `bench.nets.replacement.Replacements`."""

    def freeze(self) -> nn.Module:
        """Cache for inference what depends only on the weights. Returns the module in evaluation mode. `train()` undoes it."""

    def cached(self, make: Callable[[], Any], *key: Any) -> Any:
        """Return `make()`, cached while frozen. The cache is valid for the same key and unchanged weights."""

    def kernel(self) -> Tensor:
        """Return the centred spatial kernel. Its shape (C, Kh, Kw) or (C, C, Kh, Kw) gives `kernel_height` and `kernel_width`."""

    def flops(self, height: int, width: int) -> Flops:
        """Return the operations per image in closed form. Images are (C, height, width). The tests compare it with the counter."""

    def penalty(self) -> Tensor:
        """Return a scalar that is added to the training loss."""

    def at_resolution(self, resolution: Resolution, way: str) -> nn.Module:
        """Adapt to maps of another size in place. `way` is one of `ways`. Returns the module."""

    def load_official(self, state: Mapping[str, Tensor]) -> None:
        """Load weights of the published code. Raises KeyError for a missing or unknown name."""

    def no_weight_decay(self) -> set[str]:
        """Return the names of a network's parameters without weight decay."""


NAMES = (*Hooks.__annotations__, *(name for name in vars(Hooks) if not name.startswith("_")))


def can_freeze(module: nn.Module) -> bool:
    """Return True if the module has a `freeze()`."""
    return hasattr(module, "freeze")


def freeze(network: Any) -> Any:
    """Freeze the outermost modules that have a `freeze()`, in place, and return the network or what replaces it."""
    if can_freeze(network):
        return network.freeze()
    for name, child in list(network.named_children()):
        setattr(network, name, freeze(child))
    return network


def has_cache(module: nn.Module) -> bool:
    """Return True if the module computes its kernel in `cached()`."""
    return hasattr(module, "cached")


def has_kernel(module: nn.Module) -> bool:
    """Return True if the module has a `kernel()`. A library's layer may have an attribute of this name."""
    return callable(getattr(module, "kernel", None))


def kernel_of(module: Any) -> Tensor | None:
    """Return the kernel (C, Kh, Kw) or (C, C, Kh, Kw) of a module, or None if it has no `kernel()`."""
    return module.kernel() if has_kernel(module) else None


def penalty_of(module: Any) -> Tensor | None:
    """Return the scalar `penalty()` of a module, or None if it has none. Submodules are not searched."""
    penalty = getattr(module, "penalty", None)
    return None if penalty is None else penalty()


def lr_scale_of(module: nn.Module) -> Mapping[str, float]:
    """Return the factors on the learning rate by prefixes of the module's parameter names; empty if it has no `lr_scale`."""
    return getattr(module, "lr_scale", {})


def ways_of(module: nn.Module) -> tuple[str, ...]:
    """Return the ways to adapt a module to another map size; empty if it has none. Submodules are not searched."""
    return tuple(getattr(module, "ways", ()))


def mixes_channels(module: nn.Module) -> bool:
    """Return True if the module states that it mixes channels."""
    return getattr(module, "mixes_channels", False)


def inert_of(module: nn.Module) -> tuple[str, ...]:
    """Return the names of the parameters whose gradient is zero by construction."""
    return tuple(getattr(module, "inert", ()))


def not_exportable_of(module: nn.Module) -> str:
    """Return the reason why `torch.export` does not support the module; empty if it does."""
    return getattr(module, "not_exportable", "")


def loads_official(module: nn.Module) -> bool:
    """Return True if the module has a `load_official()`."""
    return hasattr(module, "load_official")


def no_weight_decay_of(network: Any) -> set[str]:
    """Return the names of the parameters of a network that do not decay; empty if it has no `no_weight_decay()`."""
    return set(getattr(network, "no_weight_decay", set)())


def replacements_of(network: Any) -> Any:
    """Return the report on the replaced convolutions of a network, or None if it has none."""
    return getattr(network, "replacements", None)


def set_backend(network: nn.Module, backend: str) -> None:
    """Set `backend` of every module of a network that has one."""
    _set_all(network, "backend", backend)


def set_target(network: nn.Module, device: str) -> None:
    """Set `target` of every module of a network that has one, such as "cuda"."""
    _set_all(network, "target", device)


def _set_all(network: nn.Module, hook: str, value: str) -> None:
    for module in network.modules():
        if hasattr(module, hook):
            setattr(module, hook, value)
