"""Equivariance and numerical errors of an operator: shifts, float64 reference, change of resolution. All are relative errors.

They are measured on one image x, in the mode, precision and frozen form of the cell. r(x) = f(x) - f(0) is the response, so that a
bias does not reduce the relative error. ||.|| is the Euclidean norm.

    shift_error_circular  ||r(S x) - S r(x)|| / ||r(x)|| for a circular shift S and standard normal x: root mean square over five
                          shifts between one pixel and half of the map. Zero for a circular filter, up to rounding
    shift_error_zero      the same for shifts that discard pixels at the border and fill with zeros. x is one line of pixels,
                          shifted to the nearest border but not across it: four shifts by one pixel or an eighth of the map. Zero
                          for operators whose response beyond a border is discarded and does not re-enter on the other side, such
                          as a zero-padded convolution whose kernel is less than 1.75 times as wide as the map
    error_fp64            maximum difference to the unfrozen operator in float64 on the CPU, divided by its maximum value
    error_fp64_rms        ||difference|| / ||value in float64||
    resolution_error      for the same smooth image sampled at R and 2R pixels: ||r_2R(x_2R) at every second pixel - r_R(x_R)|| /
                          ||r_R(x_R)||, the minimum over the ways of adapting to another size; that way is `resolution_way`

A non-zero `shift_error_*` or `resolution_error` is not a defect: a convolution of K x K pixels covers half of the field of view at
twice the resolution, so its response changes. The weights are those of the initialisation. The response of a network depends on all
of its layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bench.columns import Column, Metric
from bench.metrics._shifts import circular, distance, zero
from bench.nets.resolution import adapt, ways
from bench.spec import Protocol
from bench.system.torch_state import seed
from bench.workload.build import Measurement, Workload, autocast
from bench.workload.cost import predict
from bench.workload.failures import diagnose
from methods import Unsupported

METRIC = Metric(
    columns=(
        Column("shift_error_circular", better="lower", meaning="relative shift equivariance error for circular shifts"),
        Column("shift_error_zero", better="lower", meaning="relative shift equivariance error for shifts with zero padding"),
        Column("error_fp64", better="lower", meaning="largest error against float64 on the CPU, relative to the largest value"),
        Column("error_fp64_rms", better="lower", meaning="RMS error against float64 on the CPU, relative to the RMS of the output"),
        Column("resolution_error", better="lower", meaning="relative change of the response to one image at twice the resolution"),
        Column("resolution_way", unit="name", meaning="adaptation to twice the size that gives resolution_error"),
        Column("properties_why", unit="name", meaning="reason why some of these columns are empty"),
    ),
    default=False,
    ranked=False,
    calls=50,  # shifts, float64, and twice the resolution in up to three ways
    largest=2,
    typical_seconds=2.0,
    depends_on=("kernels",),
    rounding=1e-5,  # relative errors below it depend on the summation order in float32
)

HIGHEST = 3  # cycles of the smooth image per side; its window adds one
REFERENCE_FLOPS = 2e11  # maximum of the float64 reference: one to two minutes on one core
Operator = Callable[[Tensor], Tensor]
Values = dict[str, float | str | None]


def measure(workload: Workload, protocol: Protocol) -> Generator[None, None, Measurement]:
    """Measure the errors. A value that cannot be measured is null, with the reason in `properties_why`.

    Raises `Unsupported` for a network.
    """
    if workload.cell.level != "op":
        raise Unsupported("properties are measured for an operator, not for a network")
    single = replace(workload, cell=replace(workload.cell, batch=1))
    single.checked_step()
    x = single.inputs()
    respond = response(operator(single, single.module), x)
    errors: Values = {"shift_error_circular": circular(respond, x), "shift_error_zero": zero(respond, x)}
    numerical, reasons = precision(single, x)
    across, samples, more = resolution(single)
    why = "; ".join(dict.fromkeys(reasons + more)) or None
    yield
    return Measurement({**errors, **numerical, **across, "properties_why": why}, samples=samples)


def operator(workload: Workload, module: Any) -> Operator:
    """Return x -> output in float64, computed in the mode and precision of the cell with the same random numbers per call."""
    cast = autocast(workload.cell)

    def call(x: Tensor) -> Tensor:
        seed(workload.cell)
        with torch.set_grad_enabled(workload.cell.mode == "train"), cast():
            y: Tensor = module(x)
        return y.detach().double()

    return call


def response(call: Operator, like: Tensor) -> Operator:
    """Return the function x -> f(x) - f(0) for images of one shape."""
    offset = call(torch.zeros_like(like)).clone()
    return lambda x: call(x) - offset


def precision(workload: Workload, x: Tensor) -> tuple[Values, list[str]]:
    """Return the columns of the error against float64, and the reasons if they are null."""
    empty: Values = dict.fromkeys(("error_fp64", "error_fp64_rms"))
    cost = predict(workload).flops or 0
    if cost > REFERENCE_FLOPS:
        return empty, [f"error_fp64: a reference in float64 would take {cost:.2g} FLOP on the CPU"]
    try:
        exact = reference(workload, x)
    except Exception as error:  # an operator may raise anything
        return empty, [f"error_fp64: {diagnose(error)[1]}"]
    if exact.dtype != torch.float64:
        return empty, [f"error_fp64: the operator returns {exact.dtype} for float64 input"]
    actual = operator(workload, workload.module)(x).cpu()
    largest = float((actual - exact).abs().max() / exact.abs().max()) if exact.any() else math.nan
    return {"error_fp64": largest, "error_fp64_rms": distance(actual, exact)}, []


def reference(workload: Workload, x: Tensor) -> Tensor:
    """Return the output of the unfrozen operator for x on the CPU, with weights and image in float64."""
    cell = workload.cell
    twin: Any = workload.operator(cell.channels, (cell.height, cell.width))
    twin.load_state_dict(workload.module.state_dict())
    twin.double().train(cell.mode == "train")
    seed(cell)
    with torch.no_grad():
        return twin(x.detach().cpu().double())


def resolution(workload: Workload) -> tuple[Values, dict[str, Any], list[str]]:
    """Return the columns of the error between resolutions, the error of every way as samples, and the reasons of failures."""
    height, width = workload.cell.height, workload.cell.width
    generator = torch.Generator().manual_seed(workload.cell.seed)
    waves = torch.randn(workload.cell.channels, 2 * HIGHEST + 1, 2 * HIGHEST + 1, generator=generator)
    small, large = (smooth(waves, factor * height, factor * width).to(workload.cell.device) for factor in (1, 2))
    reference_response = response(operator(workload, workload.module), small)(small)
    errors, reasons = {}, []
    for way in ways(workload.module):
        try:
            larger = response(operator(workload, adapt(workload.module, way)), large)(large)
            errors[way] = distance(larger[..., ::2, ::2], reference_response)
        except Exception as error:
            reasons.append(f"resolution_error: {diagnose(error)[1]}")
    best = min(errors, key=lambda way: errors[way], default=None)
    values: Values = {"resolution_error": None if best is None else errors[best], "resolution_way": best or None}
    return values, {"resolution_error": errors}, reasons


def smooth(waves: Tensor, height: int, width: int) -> Tensor:
    """Return the image (1, C, H, W) at the points (i / H, j / W), with at most `HIGHEST` + 1 cycles per side and a zero border.

    waves (C, 2 * HIGHEST + 1, 2 * HIGHEST + 1) are the amplitudes of the products of 1, sines and cosines along both axes.
    """
    rows, columns = _waves(height), _waves(width)
    return torch.einsum("cij,ih,jw->chw", waves.double(), rows, columns).float()[None]


def _waves(n: int) -> Tensor:
    """Return 1, cosines and sines at n points t of [0, 1), times sin^2(pi t): (2 * HIGHEST + 1, n), float64."""
    t = torch.arange(n, dtype=torch.float64) / n
    turns = 2 * math.pi * torch.arange(HIGHEST + 1, dtype=torch.float64)[:, None] * t
    return torch.cat((turns.cos(), turns[1:].sin())) * torch.sin(math.pi * t) ** 2
