"""Replacement of the spatial convolutions of a network by an operator.

Only convolutions whose output has the size of their input are replaced: stride 1, "same" padding, no dilation, a square kernel of
at least `min_kernel`. Unchanged are the stem (see `find_stem`), strided and 1x1 convolutions, grouped ones that are not depthwise,
and subclasses such as timm's Conv2dSame. The operator alone replaces a depthwise convolution. A dense convolution is replaced by
the operator on its input channels and a 1x1 convolution to its output channels, as in NIFF's ResNet and DenseNet
(https://arxiv.org/abs/2307.10001). With an operator that sets `mixes_channels` the 1x1 convolution is omitted if both numbers of
channels are equal or the operator has the option `out_channels`.

The norms of the network are unchanged, as is the scale of the operator at initialisation. If its output variance is far below the
epsilon of the following norm (`dynamic_filter` in ResNet-18: at most 1e-8 against 1e-5), the normalised output is close to zero at
initialisation.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

import methods
from bench.nets import Build, Size
from methods import Unsupported
from methods.hooks import mixes_channels, no_weight_decay_of
from methods.parts.spectral import pair

WHERE = ("all", "depthwise", "dense")
STEMS = re.compile(r"stem.*|conv1|patch_embed")  # names of the module of the first convolutions
Calls = list[tuple[Size, Size]]  # (input size, output size) per call of a convolution


@dataclass(frozen=True)
class Layer:
    """A convolution of a network, and the reason if it is not replaced."""

    name: str
    kind: str  # "depthwise", "dense" or "grouped"
    in_channels: int
    out_channels: int
    kernel: Size
    size: Size | None  # of its input; None if the network does not use it
    reason: str = ""  # why it is not replaced; empty if it is


@dataclass(frozen=True, repr=False)
class Replacements:
    """Replaced and unchanged convolutions in the order of execution, and the trainable parameters before and after."""

    replaced: tuple[Layer, ...]
    unchanged: tuple[Layer, ...]
    params_before: int
    params_after: int

    @property
    def reasons(self) -> Counter[str]:
        """Number of unchanged convolutions per reason."""
        return Counter(layer.reason for layer in self.unchanged)

    def __str__(self) -> str:
        """Return one line per replaced convolution, then the counts of the unchanged ones by reason, and the parameters."""
        longest = max(len(layer.name) for layer in self.replaced)
        lines = [f"Replaced: {len(self.replaced)} convolutions", *(_line(layer, longest) for layer in self.replaced)]
        lines.append(f"Unchanged: {_counts(self.reasons) or 'none'}")
        before, after = self.params_before, self.params_after
        change = f" ({100 * (after / before - 1):+.1f}%)" if before else ""  # every parameter may be fixed
        return "\n".join([*lines, f"Parameters: {before:,} before, {after:,} after{change}"])

    __repr__ = __str__


def _line(layer: Layer, width: int) -> str:
    assert layer.size is not None
    kernel, size = (f"{height}x{width}" for height, width in (layer.kernel, layer.size))
    channels = f"{layer.in_channels} -> {layer.out_channels}"
    return f"  {layer.name:{width}}  {layer.kind:9}  {kernel:>5}  {channels:>12} channels  {size:>8}"


def _counts(reasons: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items())


def replace_convolutions(
    model: nn.Module,
    method: str | Build,
    where: str = "all",
    min_kernel: int = 3,
    *,
    resolution: int | Size,
    in_channels: int = 3,
) -> Replacements:
    """Replace convolutions of `model` in place by an operator: a registered name, or a function (channels, (H, W)) -> operator.

    A function with a parameter `out_channels` also builds operators with another number of output channels. `resolution` is that of
    the images (B, in_channels, H, W) and determines the size of every map. The returned report is also stored as
    `model.replacements`. Raises ValueError for an invalid option or if no convolution can be replaced, and `Unsupported` if the
    operator does not support one of them.
    """
    check_options(where, min_kernel)
    build = methods.get(method).build if isinstance(method, str) else method
    layers = find_convolutions(model, where, min_kernel, pair(resolution), in_channels)
    replaced = tuple(layer for layer in layers if not layer.reason)
    if not replaced:
        raise ValueError(f"no convolution of {type(model).__name__} can be replaced{_summary(layers)}")
    before = _trainable(model)
    operators = [_replace(model, layer, build) for layer in replaced]
    report = Replacements(replaced, tuple(layer for layer in layers if layer.reason), before, _trainable(model))
    _attach(model, report, operators)
    return report


def check_options(where: str, min_kernel: int) -> None:
    """Raise ValueError for invalid options of `replace_convolutions`."""
    if where not in WHERE:
        raise ValueError(f"where must be one of {', '.join(WHERE)}, not {where!r}")
    if not isinstance(min_kernel, int) or min_kernel < 2:
        raise ValueError(f"min_kernel must be an integer above 1, not {min_kernel!r}: 1x1 convolutions are not replaced")


def find_convolutions(model: nn.Module, where: str, min_kernel: int, resolution: Size, in_channels: int) -> list[Layer]:
    """Return every convolution in the order of execution, with the reason if it is not replaced. Unused ones are last."""
    modules = {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
    calls = _maps(model, modules, resolution, in_channels)
    order = [*calls, *(name for name in modules if name not in calls)]
    stem = find_stem(order)
    layers = []
    for name in order:
        conv, maps = modules[name], calls.get(name, [])
        kind = _kind(conv)
        reason = _reason(conv, kind, maps, f"{name}.".startswith(f"{stem}."), where, min_kernel)
        size = maps[0][0] if maps else None
        layers.append(Layer(name, kind, conv.in_channels, conv.out_channels, pair(conv.kernel_size), size, reason))
    return layers


def _maps(model: nn.Module, modules: dict[str, nn.Conv2d], resolution: Size, in_channels: int) -> dict[str, Calls]:
    """Record the calls of each convolution in a forward pass on the meta device."""
    calls: dict[str, Calls] = {}

    def recorder(name: str) -> Callable[..., None]:
        def record(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            calls.setdefault(name, []).append((pair(inputs[0].shape[-2:]), pair(output.shape[-2:])))

        return record

    hooks = [module.register_forward_hook(recorder(name)) for name, module in modules.items()]
    tensors = [*model.named_parameters(), *model.named_buffers()]
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), torch.device("meta"):
            images = torch.empty(1, in_channels, *resolution)
            functional_call(model, {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors}, (images,))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return calls


def _kind(conv: nn.Conv2d) -> str:
    if conv.groups == 1:
        return "dense"
    return "depthwise" if conv.groups == conv.in_channels == conv.out_channels else "grouped"


def find_stem(order: list[str]) -> str:
    """Return the name of the stem of a network, from the names of its convolutions in the order of execution.

    This is the outermost module that contains the first convolution and is named stem..., conv1 or patch_embed, such as `conv1` of
    resnet18d for `conv1.0`, `conv1.3` and `conv1.6`. If there is none, it is the first convolution.
    """
    parts = order[0].split(".") if order else [""]
    end = next((end for end, part in enumerate(parts, 1) if STEMS.fullmatch(part)), len(parts))
    return ".".join(parts[:end])


def _reason(conv: nn.Conv2d, kind: str, maps: Calls, in_stem: bool, where: str, min_kernel: int) -> str:
    """Return the first reason not to replace a convolution, or an empty string."""
    reasons = {
        "not used": not maps,
        "stem": in_stem,
        "1x1": conv.kernel_size == (1, 1),
        type(conv).__name__: type(conv) is not nn.Conv2d,
        "strided": conv.stride != (1, 1),
        "grouped": kind == "grouped",
        "not square": conv.kernel_size[0] != conv.kernel_size[1],
        "dilated": conv.dilation != (1, 1),
        "used at several sizes": len(set(maps)) > 1,
        "changes the size of its map": any(before != after for before, after in maps),
        f"smaller than {min_kernel}x{min_kernel}": conv.kernel_size[0] < min_kernel,
        f"{kind}, not {where}": where not in ("all", kind),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _replace(model: nn.Module, layer: Layer, build: Build) -> nn.Module:
    """Replace a convolution on its device and return the operator. Raises `Unsupported` with the name of the layer."""
    conv: Any = model.get_submodule(layer.name)
    with conv.weight.device:
        try:
            operator, outputs = _build_operator(layer, build)
        except Unsupported as reason:
            assert layer.size is not None
            where = f"{layer.name}, {layer.in_channels} channels at {layer.size[0]}x{layer.size[1]}"
            raise Unsupported(f"{where}: {reason}") from reason
        new = operator
        if layer.kind == "dense" and outputs != layer.out_channels:
            mix = nn.Conv2d(layer.in_channels, layer.out_channels, 1, bias=conv.bias is not None)
            new = nn.Sequential(OrderedDict(operator=operator, mix=mix))
    model.set_submodule(layer.name, new, strict=True)
    return operator


def _build_operator(layer: Layer, build: Build) -> tuple[nn.Module, int]:
    """Return the operator for a convolution and its number of output channels, 0 if it does not mix channels."""
    operator = build(layer.in_channels, layer.size)
    if not mixes_channels(operator):
        return operator, 0
    has_option = "out_channels" in inspect.signature(type(operator)).parameters and _takes_out_channels(build)
    if layer.in_channels == layer.out_channels or not has_option:
        return operator, layer.in_channels
    return build(layer.in_channels, layer.size, out_channels=layer.out_channels), layer.out_channels


def _takes_out_channels(build: Callable[..., Any]) -> bool:
    parameters = inspect.signature(build).parameters
    return "out_channels" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _attach(model: Any, report: Replacements, operators: Iterable[nn.Module]) -> None:
    """Store the report in the model and exclude the operators' weights from weight decay, as in our hosts."""
    own = {id(parameter) for operator in operators for parameter in operator.parameters()}
    excluded = {name for name, parameter in model.named_parameters() if id(parameter) in own}
    excluded.update(no_weight_decay_of(model))
    model.replacements, model.no_weight_decay = report, partial(set, frozenset(excluded))


def _trainable(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _summary(layers: Iterable[Layer]) -> str:
    return f": {_counts(Counter(layer.reason for layer in layers)) or 'it has none'}"
