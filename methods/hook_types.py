"""Find hooks with a wrong type or a misspelt name, which the readers in `hooks` would ignore or misread."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from methods.hooks import NAMES, Hooks

if TYPE_CHECKING:
    from torch import nn


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(map(_is_text, value))


def _are_factors(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return all(_is_text(name) and isinstance(factor, int | float) for name, factor in value.items())


ATTRIBUTES: dict[str, tuple[str, Callable[[Any], bool]]] = {  # the type of each attribute, as text and as a test
    "target": ("a device type or None", lambda value: value is None or _is_text(value)),
    "backend": ("a string", _is_text),
    "ways": ("a sequence of strings", _are_texts),
    "lr_scale": ("a mapping from strings to numbers", _are_factors),
    "mixes_channels": ("True or False", lambda value: isinstance(value, bool)),
    "inert": ("a sequence of strings", _are_texts),
    "not_exportable": ("a string", _is_text),
    "replacements": ("a report", lambda value: value is not None),
}
CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {  # arguments like those with which each method is called
    "freeze": ((), {}),
    "cached": ((None, "key"), {}),
    "kernel": ((), {}),
    "flops": ((8, 8), {}),
    "penalty": ((), {}),
    "at_resolution": ((8,), {"way": ""}),
    "load_official": (({},), {}),
    "no_weight_decay": ((), {}),
}


def mistakes(module: nn.Module) -> list[str]:
    """Return one sentence per hook of a module that has a wrong type, a misspelt name, or needs another hook."""
    defined = {name: getattr(module, name) for name in NAMES if hasattr(module, name)}
    wrong = [
        f"{name} must be {kind}, not {defined[name]!r}"
        for name, (kind, is_valid) in ATTRIBUTES.items()
        if name in defined and not is_valid(defined[name])
    ]
    for name, (args, options) in CALLS.items():
        if name in defined and not _accepts(defined[name], args, options):
            arguments = ", ".join(list(inspect.signature(vars(Hooks)[name]).parameters)[1:])
            wrong.append(f"{name} must be a method that is called as {name}({arguments})")
    if ("ways" in defined) != ("at_resolution" in defined):
        wrong.append("ways and at_resolution belong together: define both or neither")
    return wrong + _misspelt(module)


def _accepts(hook: Any, args: tuple[Any, ...], options: Mapping[str, Any]) -> bool:
    try:
        inspect.signature(hook).bind(*args, **options)
    except TypeError:  # not callable, or other arguments
        return False
    return True


def _misspelt(module: nn.Module) -> list[str]:
    """Compare the names of the module with hooks of several words that it lacks. A name such as `kernels` is no mistake."""
    missing = [name for name in NAMES if "_" in name and not hasattr(module, name)]
    near = {name: difflib.get_close_matches(name, missing, n=1, cutoff=0.9) for name in dir(module) if name not in NAMES}
    return [f"{name} is not a hook; did you mean {matches[0]}?" for name, matches in near.items() if matches]
