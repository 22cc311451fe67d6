"""Export of a network for inference: a program of `torch.export` (.pt2) or an ONNX graph (.onnx).

The operators are frozen, so that kernels and spectra that depend only on the weights are constants of the program. This also avoids
operations that ONNX does not have.
"""

from __future__ import annotations

import copy
import re
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

import methods
from methods import Unsupported
from methods.hooks import freeze, not_exportable_of

SUFFIXES = (".pt2", ".onnx")
ONNX_PACKAGES = ("onnx", "onnxscript")
TOLERANCE = 1e-4  # maximum difference between program and network, relative to the largest value
UNKNOWN = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.]+)'")  # in messages of torch.onnx


def export(network: nn.Module, images: Tensor, path: str | Path) -> Path:
    """Export a network to `path`, whose suffix selects the format, and return the path. The network is unchanged.

    The program maps images of exactly the shape of `images` (B, C, H, W) to the output of the network in evaluation mode, one
    tensor. Load it with `torch.export.load(path).module()`, or with an ONNX runtime. A program for .onnx is compared with the
    network before its conversion.

    Raises `Unsupported` if an operator cannot be exported, with its layer and the reason; ValueError for another suffix;
    ModuleNotFoundError if the packages for ONNX are not installed; FileNotFoundError if the folder does not exist; RuntimeError if
    the output of the program differs.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"the file must end in {' or '.join(SUFFIXES)}, not {path.name!r}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"folder {str(path.parent)!r} does not exist")
    lacking = [package for package in ONNX_PACKAGES if path.suffix == ".onnx" and find_spec(package) is None]
    if lacking:
        raise ModuleNotFoundError(f"ONNX needs {' and '.join(lacking)}: pip install 'large-kernel-bench[onnx]'")
    frozen: nn.Module = freeze(copy.deepcopy(network).eval())
    _check_declared(frozen)
    with torch.no_grad():
        expected = frozen(images)  # also computes the kernels, so that the export sees constants
        if not isinstance(expected, Tensor):
            raise Unsupported(f"the output of {type(network).__name__} is {type(expected).__name__}, not one tensor")
        try:
            program = _to_program(frozen, images)
            graph = _to_onnx(program) if path.suffix == ".onnx" else None
        except Exception as error:  # an exporter may raise anything
            raise Unsupported(_reason(frozen, images, path.suffix, error)) from error
        _check_output(program.module()(images), expected)
        unfinished = path.with_name(f".{path.name}")
        try:
            if graph is not None:
                graph.save(unfinished)
            else:
                torch.export.save(program, unfinished)
                _check_output(torch.export.load(unfinished).module()(images), expected)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    return path


def _check_declared(network: nn.Module) -> None:
    """Raise `Unsupported` if an operator declares that it cannot be exported."""
    for name, module in network.named_modules():
        if reason := not_exportable_of(module):
            raise Unsupported(f"{_layer(name, module)} cannot be exported: {reason}")


def _to_program(network: nn.Module, images: Tensor) -> ExportedProgram:
    return torch.export.export(network, (images,))


def _to_onnx(program: ExportedProgram) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.onnx.export(program, dynamo=True, verbose=False)


def _check_output(output: Tensor, expected: Tensor) -> None:
    error = (output - expected).abs().max() / expected.abs().max().clamp_min(1e-30)
    if not error <= TOLERANCE:
        raise RuntimeError(f"the output of the program differs by {float(error):.1e} of the largest output of the network")


def _reason(network: nn.Module, images: Tensor, suffix: str, error: Exception) -> str:
    """Return a sentence on the first operator that cannot be exported on its own, else on the network."""
    for name, module, x in _operators(network, images):
        if module is network:
            break
        try:
            program = _to_program(module, x)
            if suffix == ".onnx":
                _to_onnx(program)
        except Exception as own:  # an exporter may raise anything
            return f"{_layer(name, module)} cannot be exported to {suffix}: {_cause(own)}"
    return f"{_layer('', network)} cannot be exported to {suffix}: {_cause(error)}"


def _operators(network: nn.Module, images: Tensor) -> list[tuple[str, nn.Module, Tensor]]:
    """Return the name, module and first input of every operator of the registry, in the order of execution."""
    registered = tuple({methods.get(name).cls for name in methods.names()})
    operators: dict[nn.Module, str] = {module: name for name, module in network.named_modules() if isinstance(module, registered)}
    inputs: dict[nn.Module, Tensor] = {}

    def record(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        inputs.setdefault(module, args[0])

    handles = [module.register_forward_pre_hook(record) for module in operators]
    network(images)
    for handle in handles:
        handle.remove()
    return [(operators[module], module, x) for module, x in inputs.items()]


def _layer(name: str, module: nn.Module) -> str:
    """Return the name of a layer with the class of its operator, or the class alone for the exported module itself."""
    return f"{name} ({type(module).__name__})" if name else type(module).__name__


def _cause(error: BaseException) -> str:
    """Return the operation that the exporter to ONNX does not know, or the type and first line of the error."""
    link: BaseException | None = error
    while link is not None:
        if match := UNKNOWN.search(str(link)):
            kind = " of complex numbers" if "complex" in str(link) else ""
            return f"torch's exporter has no ONNX function for {match[1]}{kind}"
        link = link.__cause__ or link.__context__
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
