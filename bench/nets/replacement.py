"""Networks of other people with their spatial convolutions exchanged for an operator.

Only convolutions that keep the size of their map are exchanged: stride 1, "same" padding, no dilation, a square kernel of at least
`min_kernel`. The stem (see `find_stem`), strided and 1x1 ones stay, and so do grouped ones that are not depthwise and classes of
their own such as timm's Conv2dSame. A depthwise convolution becomes the operator alone; a dense one the operator on its input
channels and then a 1x1 convolution from these to its output channels, as NIFF does in ResNet and DenseNet
(https://arxiv.org/abs/2307.10001). An operator that says `mixes_channels` does without the 1x1 where both are as many, or where it
takes `out_channels`.

The network's norms stay as they are, and so does the operator's scale at initialisation. Where its variance is far below the
epsilon of the norm behind it (`dynamic_filter` in ResNet-18: 1e-8 or less against 1e-5), the network begins almost deaf to images.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

import methods
from bench.nets import Build, Size
from methods import Unsupported
from methods.parts.spectral import pair

WHERE = ("all", "depthwise", "dense")
STEMS = re.compile(r"stem.*|conv1|patch_embed")  # what networks call the module of their first convolutions
Calls = list[tuple[Size, Size]]  # of one convolution: the map that goes in and the map that comes out


@dataclass(frozen=True)
class Layer:
    """A convolution of a network, and why it was kept; empty where it was exchanged."""

    name: str
    kind: str  # "depthwise", "dense" or "grouped"
    in_channels: int
    out_channels: int
    kernel: Size
    size: Size | None  # of its map; None where the network does not use it
    kept: str = ""


@dataclass(frozen=True)
class Replacements:
    """What `replace_convolutions` did, in the order of execution, and the trainable parameters of the network before and after."""

    exchanged: tuple[Layer, ...]
    left: tuple[Layer, ...]
    params_before: int
    params_after: int


def replace_convolutions(
    model: nn.Module,
    method: str | Build,
    where: str = "all",
    min_kernel: int = 3,
    *,
    resolution: int | Size,
    in_channels: int = 3,
) -> Replacements:
    """Exchange, in place, the convolutions of `model` for operators: a registered name, or (channels, (H, W)) -> operator.

    `resolution` is that of the images (B, in_channels, H, W), from which the size of every map follows. The model keeps the report
    as `swapped`. Raises ValueError for a wrong option or where no convolution qualifies, `Unsupported` where the operator declines
    one.
    """
    check_options(where, min_kernel)
    build = methods.get(method).build if isinstance(method, str) else method
    layers = find_convolutions(model, where, min_kernel, pair(resolution), in_channels)
    exchanged = tuple(layer for layer in layers if not layer.kept)
    if not exchanged:
        raise ValueError(f"no convolution of {type(model).__name__} qualifies{_summary(layers)}")
    before = _trainable(model)
    operators = [_exchange(model, layer, build) for layer in exchanged]
    report = Replacements(exchanged, tuple(layer for layer in layers if layer.kept), before, _trainable(model))
    _carry(model, report, operators)
    return report


def check_options(where: str, min_kernel: int) -> None:
    """Raises ValueError for options that `replace_convolutions` does not take."""
    if where not in WHERE:
        raise ValueError(f"where must be one of {', '.join(WHERE)}, not {where!r}")
    if not isinstance(min_kernel, int) or min_kernel < 2:
        raise ValueError(f"min_kernel must be a whole number above 1, not {min_kernel!r}: 1x1 convolutions stay")


def find_convolutions(model: nn.Module, where: str, min_kernel: int, resolution: Size, in_channels: int) -> list[Layer]:
    """Every convolution in the order of execution, with the reason why it is kept; at the end those that are not used."""
    modules = {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
    calls = _maps(model, modules, resolution, in_channels)
    order = [*calls, *(name for name in modules if name not in calls)]
    stem = find_stem(order)
    found = []
    for name in order:
        conv, maps = modules[name], calls.get(name, [])
        kind = _kind(conv)
        kept = _kept(conv, kind, maps, f"{name}.".startswith(f"{stem}."), where, min_kernel)
        size = maps[0][0] if maps else None
        found.append(Layer(name, kind, conv.in_channels, conv.out_channels, pair(conv.kernel_size), size, kept))
    return found


def _maps(model: nn.Module, modules: dict[str, nn.Conv2d], resolution: Size, in_channels: int) -> dict[str, Calls]:
    """The calls of each convolution, by an execution in which weights and maps have shapes alone."""
    seen: dict[str, Calls] = {}

    def noting(name: str) -> Callable[..., None]:
        def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            seen.setdefault(name, []).append((pair(inputs[0].shape[-2:]), pair(output.shape[-2:])))

        return note

    hooks = [module.register_forward_hook(noting(name)) for name, module in modules.items()]
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
    return seen


def _kind(conv: nn.Conv2d) -> str:
    if conv.groups == 1:
        return "dense"
    return "depthwise" if conv.groups == conv.in_channels == conv.out_channels else "grouped"


def find_stem(order: list[str]) -> str:
    """The stem of a network whose convolutions are given in the order of execution: the module that holds all of it.

    It is the outermost module that holds the first convolution and is named as a stem: stem..., conv1 or patch_embed, such as
    `conv1` of resnet18d for `conv1.0`, `conv1.3` and `conv1.6`. Where none is, it is the first convolution alone.
    """
    parts = order[0].split(".") if order else [""]
    end = next((end for end, part in enumerate(parts, 1) if STEMS.fullmatch(part)), len(parts))
    return ".".join(parts[:end])


def _kept(conv: nn.Conv2d, kind: str, maps: Calls, in_stem: bool, where: str, min_kernel: int) -> str:
    """The first reason to keep a convolution; empty where there is none."""
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
        "changes the size of its map": any(given != made for given, made in maps),
        f"smaller than {min_kernel}x{min_kernel}": conv.kernel_size[0] < min_kernel,
        f"{kind}, not {where}": where not in ("all", kind),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _exchange(model: nn.Module, layer: Layer, build: Build) -> nn.Module:
    """Put an operator into a convolution's place, on its device; the operator. Raises `Unsupported` with the layer's name."""
    conv: Any = model.get_submodule(layer.name)
    with conv.weight.device:
        try:
            operator, outputs = _built(layer, build)
        except Unsupported as reason:
            assert layer.size is not None
            place = f"{layer.name}, {layer.in_channels} channels at {layer.size[0]}x{layer.size[1]}"
            raise Unsupported(f"{place}: {reason}") from reason
        new = operator
        if layer.kind == "dense" and outputs != layer.out_channels:
            mix = nn.Conv2d(layer.in_channels, layer.out_channels, 1, bias=conv.bias is not None)
            new = nn.Sequential(OrderedDict(operator=operator, mix=mix))
    model.set_submodule(layer.name, new, strict=True)
    return operator


def _built(layer: Layer, build: Build) -> tuple[nn.Module, int]:
    """The operator for a convolution, and the channels that it makes of all of its input; 0 where it does not mix them."""
    operator = build(layer.in_channels, layer.size)
    if not getattr(operator, "mixes_channels", False):
        return operator, 0
    if layer.in_channels == layer.out_channels or "out_channels" not in inspect.signature(type(operator)).parameters:
        return operator, layer.in_channels
    return build(layer.in_channels, layer.size, out_channels=layer.out_channels), layer.out_channels


def _carry(model: Any, report: Replacements, operators: Iterable[nn.Module]) -> None:
    """Have the model know what was done to it, and spare the operators' weights from decay, as our hosts do."""
    own = {id(parameter) for operator in operators for parameter in operator.parameters()}
    spared = {name for name, parameter in model.named_parameters() if id(parameter) in own}
    spared.update(getattr(model, "no_weight_decay", set)())
    model.swapped, model.no_weight_decay = report, lambda: spared


def _trainable(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _summary(layers: Iterable[Layer]) -> str:
    reasons = Counter(layer.kept for layer in layers)
    return ": " + ", ".join(f"{count} {reason}" for reason, count in reasons.items()) if reasons else ": there is none"
