"""Networks of timm and of torchvision, as published or with an operator in the place of their convolutions; see `swap`.

A name is looked up in timm, then in torchvision; timm/NAME and torchvision/NAME say which. Options that are not of `build` are the
network's own: `convnext_atto[kernel_sizes=31]`, `resnet50[where=dense]`, `resnet18[drop_path_rate=0.1]`.
"""

from __future__ import annotations

import difflib
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import torch

from bench import nets
from bench.names import parse
from bench.nets import replacement

if TYPE_CHECKING:
    from torch import nn

LIBRARIES = ("timm", "torchvision")
RGB = 3
SINGLE_OUTPUT = {  # networks that give more than logits in training unless told otherwise; `init_weights` only silences a warning
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}
RESCALES_IMAGES = ("crossvit",)  # networks that scale images of any size to their own, which is not to be changed
TIMEOUT_SECONDS = 1.0  # in which the server of weights must answer


def build(
    name: str,
    operator: nets.Build | None,
    classes: int,
    in_channels: int,
    resolution: nets.Size,
    where: str = "all",
    min_kernel: int = 3,
    pretrained: bool = False,
    **options: Any,
) -> nn.Module:
    """The network for images (B, in_channels, *resolution), with `operator` by the rules of `swap`, or as published.

    Under one seed the layers that stay have the same weights whatever the operator. `pretrained`: timm's weights for them. Raises
    ValueError for an unknown name or option, ConnectionError where the weights are neither here nor within reach.
    """
    replacement.check_options(where, min_kernel)
    library, name = find(name)
    if library == "timm":
        network = _from_timm(name, classes, in_channels, resolution, pretrained, options)
    elif pretrained:
        raise ValueError(f"pretrained weights are taken from timm alone, not for torchvision's '{name}'")
    else:
        network = _from_torchvision(name, classes, in_channels, options)
    if operator is not None:
        replacement.replace_convolutions(network, operator, where, min_kernel, resolution=resolution, in_channels=in_channels)
    return network


def check(text: str) -> None:
    """Raises ValueError or ConnectionError for a network NAME[option=value,...] that cannot be had, before any job."""
    word = parse(text)
    library, name = find(word.name)
    if library == "timm" and dict(word.options).get("pretrained"):
        weights_source(name)
    with torch.device("meta"):
        nets.build(text, None, 1, RGB, _default_size(library, name))


def _default_size(library: str, name: str) -> nets.Size:
    import timm

    config = timm.get_pretrained_cfg(name) if library == "timm" else None
    return config.input_size[-2:] if config else (224, 224)


def find(name: str) -> tuple[str, str]:
    """(library, name there) of a network; raises ValueError with the nearest names."""
    prefix, slash, rest = name.partition("/")
    asked = (prefix,) if slash and prefix in LIBRARIES else LIBRARIES
    bare = rest if len(asked) == 1 else name
    known = {library: _list_names(library) for library in asked}
    for library, members in known.items():
        if bare in members:
            return library, bare
    candidates = [*nets.names(), *(one for members in known.values() for one in members)]
    near = difflib.get_close_matches(bare, dict.fromkeys(candidates), n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(repr(one) for one in near)}?" if near else ""
    raise ValueError(f"unknown network '{name}'{hint} (ours: {', '.join(nets.names())}; else any of {' or '.join(asked)})")


def _list_names(library: str) -> list[str]:
    if library == "timm":
        import timm

        return [*timm.list_models(), *timm.list_pretrained()]
    import torchvision

    return torchvision.models.list_models(module=torchvision.models)


def _from_timm(
    name: str, classes: int, in_channels: int, resolution: nets.Size, pretrained: bool, options: dict[str, Any]
) -> nn.Module:
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is not None and config.fixed_input_size and not name.startswith(RESCALES_IMAGES):
        options = {"img_size": resolution, **options}
    if pretrained and torch.get_default_device().type != "meta":  # where shapes are all that is asked for
        options = {"pretrained": True, "pretrained_cfg_overlay": weights_source(name), **options}
    network: nn.Module = timm.create_model(name, num_classes=classes, in_chans=in_channels, **options)
    return network


def _from_torchvision(name: str, classes: int, in_channels: int, options: dict[str, Any]) -> nn.Module:
    """Its stem drawn anew where the images have another number of channels, which torchvision does not offer.

    It is made on the processor: some of torchvision's constructors compute with tensors, which shapes alone do not allow.
    """
    import torchvision

    settings = SINGLE_OUTPUT.get(name, {}) | options
    with torch.device("cpu"):
        network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=classes, **settings)
    network.to(torch.get_default_device())
    if in_channels != RGB:
        place = next(place for place, part in network.named_modules() if isinstance(part, torch.nn.Conv2d))
        old: Any = network.get_submodule(place)
        stem = torch.nn.Conv2d(in_channels, old.out_channels, old.kernel_size, old.stride, old.padding, bias=old.bias is not None)
        network.set_submodule(place, stem, strict=True)
    return network


def weights_source(name: str) -> dict[str, str]:
    """Where timm finds the pretrained weights: in a file that is here, else by its own ways ({}).

    Raises ValueError where there are none, ConnectionError within about a second where they are out of reach.
    """
    import timm
    from huggingface_hub import constants, try_to_load_from_cache

    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise ValueError(f"timm has no pretrained weights of '{name}'")
    for file in filter(None, (config.hf_hub_filename, "model.safetensors", "pytorch_model.bin")):
        path = try_to_load_from_cache(config.hf_hub_id or name, file)
        if isinstance(path, str):
            return {"file": path}
    if constants.HF_HUB_OFFLINE or not _is_reachable(constants.ENDPOINT):
        raise ConnectionError(
            f"the pretrained weights of '{name}' are not in {constants.HF_HUB_CACHE}, and {constants.ENDPOINT} cannot be reached: "
            "fetch them where there is a network, or leave out pretrained"
        )
    return {}


def _is_reachable(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
