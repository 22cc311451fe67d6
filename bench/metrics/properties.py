"""What an operator keeps: shifts, its value in float64, its response at another resolution. Relative errors: 0 is perfect.

On one image x of the cell, in its mode, precision and frozen form. r(x) = f(x) - f(0) is the response, so that a bias makes no
error look small; ||.|| is the root of the sum of squares.

    shift_error_circular  ||r(S x) - S r(x)|| / ||r(x)||, S a shift whose pixels re-enter at the other side, x standard normal: root
                          mean square over five shifts, from one pixel to half of the map. A circular filter keeps it, to rounding
    shift_error_zero      the same with shifts that lose what crosses the border and let in zeros. x is one line of pixels, moved
                          towards the nearest border and never beyond it: four moves, one pixel or an eighth of the map. Equal only
                          where what an operator gives beyond a border is lost and nothing of it comes in at the other side. A
                          zero-padded convolution keeps it, as long as its kernel is not 1.75 times as wide as the map
    error_fp64            largest difference to the same weights in float64 on the CPU, unfrozen, over the largest value there
    error_fp64_rms        ||difference|| / ||value in float64||
    resolution_error      the same smooth image sampled at R and at 2R pixels: ||r_2R(x_2R) at every second pixel - r_R(x_R)|| over
                          ||r_R(x_R)||, in the way of meeting another size that makes it smallest, `resolution_way`

What they do not mean: a `shift_error_*` or `resolution_error` is no fault. A convolution of K x K pixels sees half as much of an
image of twice the resolution, and changes its response. The weights are those of the initialisation, and how a network answers
depends on all of its layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bench.metrics._shifts import circular, distance, zero
from bench.nets.resolution import adapted, ways
from bench.spec import Protocol
from bench.system.torch_state import seed
from bench.workload.build import Measurement, Workload, autocast
from bench.workload.cost import predict
from bench.workload.failures import diagnose
from methods import Unsupported

HIGHEST = 3  # cycles of the smooth image along a side, before its window adds one
REFERENCE_FLOPS = 2e11  # of the reference in float64, which takes a minute or two of one core
Operator = Callable[[Tensor], Tensor]
Values = dict[str, float | str | None]


def measure(workload: Workload, protocol: Protocol) -> Generator[None, None, Measurement]:
    """Raises `Unsupported` for a network. What cannot be had is null and has its reason in `properties_why`."""
    if workload.cell.level != "op":
        raise Unsupported("properties are those of an operator, not of a network")
    one = replace(workload, cell=replace(workload.cell, batch=1))
    one.checked_step()
    x = one.inputs()
    respond = response(operator(one, one.module), x)
    errors: Values = {"shift_error_circular": circular(respond, x), "shift_error_zero": zero(respond, x)}
    precise, why = precision(one, x)
    across, samples, reasons = resolution(one)
    why += reasons
    yield
    return Measurement({**errors, **precise, **across, "properties_why": "; ".join(dict.fromkeys(why)) or None}, samples=samples)


def operator(workload: Workload, module: Any) -> Operator:
    """The module's output in float64, computed as the cell says, with the same random numbers in each call."""
    cast = autocast(workload.cell)

    def call(x: Tensor) -> Tensor:
        seed(workload.cell)
        with torch.set_grad_enabled(workload.cell.mode == "train"), cast():
            y: Tensor = module(x)
        return y.detach().double()

    return call


def response(call: Operator, like: Tensor) -> Operator:
    """x -> f(x) - f(0), for images of one shape."""
    silent = call(torch.zeros_like(like)).clone()
    return lambda x: call(x) - silent


def precision(workload: Workload, x: Tensor) -> tuple[Values, list[str]]:
    """The columns of the error against float64, and why they are empty."""
    nothing: Values = dict.fromkeys(("error_fp64", "error_fp64_rms"))
    cost = predict(workload).flops or 0
    if cost > REFERENCE_FLOPS:
        return nothing, [f"error_fp64: a reference in float64 would take {cost:.2g} FLOP on the CPU"]
    try:
        exact = reference(workload, x)
    except Exception as error:  # whatever an operator raises is the reason
        return nothing, [f"error_fp64: {diagnose(error)[1]}"]
    if exact.dtype != torch.float64:
        return nothing, [f"error_fp64: the operator gives {exact.dtype} for float64"]
    found = operator(workload, workload.module)(x).cpu()
    largest = float((found - exact).abs().max() / exact.abs().max()) if exact.any() else math.nan
    return {"error_fp64": largest, "error_fp64_rms": distance(found, exact)}, []


def reference(workload: Workload, x: Tensor) -> Tensor:
    """The operator's output for x, on the CPU and unfrozen, weights and image in float64."""
    cell = workload.cell
    twin: Any = workload.operator(cell.channels, (cell.height, cell.width))
    twin.load_state_dict(workload.module.state_dict())
    twin.double().train(cell.mode == "train")
    seed(cell)
    with torch.no_grad():
        return twin(x.detach().cpu().double())


def resolution(workload: Workload) -> tuple[Values, dict[str, Any], list[str]]:
    """The columns of the error between resolutions, that of every way as raw samples, and why there is none."""
    height, width = workload.cell.height, workload.cell.width
    generator = torch.Generator().manual_seed(workload.cell.seed)
    waves = torch.randn(workload.cell.channels, 2 * HIGHEST + 1, 2 * HIGHEST + 1, generator=generator)
    small, large = (smooth(waves, factor * height, factor * width).to(workload.cell.device) for factor in (1, 2))
    here = response(operator(workload, workload.module), small)(small)
    found, why = {}, []
    for way in ways(workload.module):
        try:
            there = response(operator(workload, adapted(workload.module, way)), large)(large)
            found[way] = distance(there[..., ::2, ::2], here)
        except Exception as error:
            why.append(f"resolution_error: {diagnose(error)[1]}")
    best = min(found, key=lambda way: found[way], default=None)
    values: Values = {"resolution_error": None if best is None else found[best], "resolution_way": best or None}
    return values, {"resolution_error": found}, why


def smooth(waves: Tensor, height: int, width: int) -> Tensor:
    """The image (1, C, H, W) at points (i / H, j / W) of a field of view, at most `HIGHEST` + 1 cycles a side, zero at its border.

    waves (C, 2 * HIGHEST + 1, 2 * HIGHEST + 1) are the amplitudes of the products of 1, sines and cosines along both axes.
    """
    rows, columns = _waves(height), _waves(width)
    return torch.einsum("cij,ih,jw->chw", waves.double(), rows, columns).float()[None]


def _waves(n: int) -> Tensor:
    """1, sines and cosines at n points of [0, 1), times sin^2(pi t), which is 0 at the border: (2 * HIGHEST + 1, n), float64."""
    t = torch.arange(n, dtype=torch.float64) / n
    turns = 2 * math.pi * torch.arange(HIGHEST + 1, dtype=torch.float64)[:, None] * t
    return torch.cat((turns.cos(), turns[1:].sin())) * torch.sin(math.pi * t) ** 2
