"""Networks of timm and torchvision, as published or with their convolutions replaced by an operator; see `replacement`.

A name is looked up in timm, then in torchvision. timm/NAME and torchvision/NAME select the library. Options that `build` does not
have are passed to the constructor of the network: `convnext_atto[kernel_sizes=31]`, `resnet18[drop_path_rate=0.1]`.
"""

from __future__ import annotations

import difflib
import urllib.error
import urllib.request
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from bench import nets
from bench.names import parse
from bench.nets import replacement

if TYPE_CHECKING:
    from torch import nn

LIBRARIES = ("timm", "torchvision")
RGB = 3
SINGLE_OUTPUT = {  # these return auxiliary logits in training by default; `init_weights` only silences a warning
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}
RESCALES_IMAGES = ("crossvit",)  # networks that rescale images to fixed sizes, which must not be changed
TIMEOUT_SECONDS = 1.0  # for the server of pretrained weights


def build(
    spec: nets.NetworkSpec,
    *,
    where: str = "all",
    min_kernel: int = 3,
    pretrained: bool = False,
    **options: Any,
) -> nn.Module:
    """Build a network, with the operator in place of convolutions or as published.

    For a given seed, unchanged layers have the same weights for all operators. `pretrained` loads timm's weights into them. Raises
    ValueError for an unknown name or option, and ConnectionError if the weights are neither in the cache nor downloadable.
    """
    replacement.check_options(where, min_kernel)
    library, name = find(spec.name)
    spec = replace(spec, name=name)
    if library == "timm":
        network = _from_timm(spec, pretrained, options)
    elif pretrained:
        raise ValueError(f"pretrained weights are available from timm only, not for torchvision's '{name}'")
    else:
        network = _from_torchvision(spec, options)
    if spec.operator is not None:
        replacement.replace_convolutions(
            network, spec.operator, where, min_kernel, resolution=spec.resolution, in_channels=spec.in_channels
        )
    return network


def check(text: str) -> None:
    """Raise ValueError or ConnectionError if the network NAME[option=value,...] is not available. Called before any job."""
    label = parse(text)
    library, name = find(label.name)
    if library == "timm" and dict(label.options).get("pretrained"):
        weights_source(name)
    with torch.device("meta"):
        nets.build(text, None, 1, RGB, _default_size(library, name))


def _default_size(library: str, name: str) -> nets.Size:
    import timm

    config = timm.get_pretrained_cfg(name) if library == "timm" else None
    return config.input_size[-2:] if config else (224, 224)


def find(name: str) -> tuple[str, str]:
    """Return (library, name in it) of a network. Raises ValueError with similar names if it is unknown."""
    prefix, slash, rest = name.partition("/")
    libraries = (prefix,) if slash and prefix in LIBRARIES else LIBRARIES
    bare = rest if len(libraries) == 1 else name
    known = {library: _list_names(library) for library in libraries}
    for library, members in known.items():
        if bare in members:
            return library, bare
    candidates = [*nets.names(), *(member for members in known.values() for member in members)]
    similar = difflib.get_close_matches(bare, dict.fromkeys(candidates), n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, similar))}?" if similar else ""
    own = ", ".join(nets.names())
    raise ValueError(f"unknown network '{name}'{hint} (available: {own}, and all networks of {' and '.join(libraries)})")


def _list_names(library: str) -> list[str]:
    if library == "timm":
        import timm

        return [*timm.list_models(), *timm.list_pretrained()]
    import torchvision

    return torchvision.models.list_models(module=torchvision.models)


def _from_timm(spec: nets.NetworkSpec, pretrained: bool, options: dict[str, Any]) -> nn.Module:
    import timm

    config = timm.get_pretrained_cfg(spec.name)
    if config is not None and config.fixed_input_size and not spec.name.startswith(RESCALES_IMAGES):
        options = {"img_size": spec.resolution, **options}
    if pretrained and torch.get_default_device().type != "meta":  # on meta only shapes are needed
        options = {"pretrained": True, "pretrained_cfg_overlay": weights_source(spec.name), **options}
    network: nn.Module = timm.create_model(spec.name, num_classes=spec.classes, in_chans=spec.in_channels, **options)
    return network


def _from_torchvision(spec: nets.NetworkSpec, options: dict[str, Any]) -> nn.Module:
    """Build a network of torchvision, with a new stem if the images do not have three channels.

    It is built on the CPU, because some constructors of torchvision compute with tensors, which the meta device does not support.
    """
    import torchvision

    settings = SINGLE_OUTPUT.get(spec.name, {}) | options
    with torch.device("cpu"):
        network: nn.Module = torchvision.models.get_model(spec.name, weights=None, num_classes=spec.classes, **settings)
    network.to(torch.get_default_device())
    if spec.in_channels != RGB:
        name = next(name for name, module in network.named_modules() if isinstance(module, torch.nn.Conv2d))
        old: Any = network.get_submodule(name)
        stem = torch.nn.Conv2d(
            spec.in_channels, old.out_channels, old.kernel_size, old.stride, old.padding, bias=old.bias is not None
        )
        network.set_submodule(name, stem, strict=True)
    return network


def weights_source(name: str) -> dict[str, str]:
    """Return the source of pretrained weights for timm: a cached file, or {} for its default download.

    Raises ValueError if there are no weights, and ConnectionError within about a second if the server cannot be reached.
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
            "download them first, or omit pretrained"
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
