"""Fit kernel networks to given kernels, without images or a surrounding network (FlexConv, ICLR 2022).

Adam without a schedule on the mean squared error of all 33 x 33 values, in float32, with the same number of steps and one learning
rate for all (SIREN also with its published one). The errors show how well a network can represent a given kernel. They do not show
that a trained layer finds such kernels, or needs them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from bench.analysis.fitting import figures, text
from bench.analysis.fitting.nets import NETS
from bench.analysis.fitting.targets import TARGETS, published_error
from bench.analysis.output import Findings
from methods.registry import did_you_mean

POINTS = 60  # of a loss curve

COLUMNS = {
    "net": "kernel network",
    "target": "target kernel",
    "lr": "learning rate of Adam",
    "steps": "number of updates",
    "seed": "seed of the network's initialisation",
    "params": "number of trainable parameters; a kernel has 1089 values",
    "mse": "mean squared error after the last step",
    "mse_best": "smallest mean squared error of all steps; the published error is also that of the best step",
    "psnr_db": "10 log10((range of the target)^2 / mse), dB",
    "target_variance": "mean squared error of the best constant",
    "published_mse": "error published by FlexConv's authors; 5e-9 if printed as 0.00000000",
    "status": "ok, or error if the loss became non-finite",
    "detail": "first step with a non-finite loss",
    "step": "number of updates before the loss was measured",
}


class Fit(NamedTuple):
    """The result of fitting one network to one target."""

    net: str
    target: str
    lr: float
    seed: int
    params: int
    losses: np.ndarray  # (steps + 1,): before each update and after the last
    kernel: np.ndarray  # (33, 33)


def analyse(nets: Sequence[str], targets: Sequence[str], steps: int, seeds: int) -> Findings:
    """Fit networks to targets, from seeds 0, 1, ...; without names, all networks or all targets.

    Raises ValueError for an unknown name.
    """
    net_names, target_names = _select("net", nets, NETS), _select("target", targets, TARGETS)
    fits = [fit for net in net_names for lr in NETS[net].rates for fit in fit_networks(net, target_names, lr, steps, seeds)]
    table = pd.DataFrame(map(result_row, fits))
    curves = pd.DataFrame(point for fit in fits for point in loss_curve(fit))
    return Findings(
        "What kernel networks can represent",
        text.page(table),
        {"fitting": table, "curves": curves},
        figures.draw(table, curves, {(fit.net, fit.lr, fit.target): fit.kernel for fit in fits if fit.seed == 0}),
        COLUMNS,
    )


def _select(kind: str, selected: Sequence[str], known: dict[str, Any]) -> Sequence[str]:
    for name in selected:
        if name not in known:
            raise ValueError(f"unknown {kind} '{name}'{did_you_mean(name, list(known))} (known: {', '.join(known)})")
    return selected or list(known)


def fit_networks(net: str, targets: Sequence[str], lr: float, steps: int, seeds: int) -> Iterator[Fit]:
    """Fit a network of each seed to each target, all in one batch."""
    pairs = [(target, seed) for target in targets for seed in range(seeds)]
    modules = []
    for _, seed in pairs:
        torch.manual_seed(seed)
        modules.append(NETS[net].make())
    losses, kernels = optimise(modules, torch.stack([TARGETS[target]() for target, _ in pairs]).float(), lr, steps)
    params = sum(parameter.numel() for parameter in modules[0].parameters())
    for (target, seed), loss, kernel in zip(pairs, losses.T.numpy(), kernels.numpy()):
        yield Fit(net, target, lr, seed, params, loss, kernel)


def optimise(modules: Sequence[nn.Module], targets: Tensor, lr: float, steps: int) -> tuple[Tensor, Tensor]:
    """Fit n networks of one architecture to targets (n, H, W). Return the losses (steps + 1, n) and the final kernels (n, H, W).

    The networks are stacked. Adam updates every parameter independently, so the result is the same as for separate fits, and a
    fit that diverges does not affect the others.
    """
    stacked, _ = stack_module_state(list(modules))
    kernels = vmap(lambda state: functional_call(modules[0], state, ()))
    optimiser = torch.optim.Adam(stacked.values(), lr=lr, fused=True)
    losses = torch.empty(steps + 1, len(modules))
    for step in range(steps):
        loss = (kernels(stacked) - targets).square().mean((-2, -1))
        losses[step] = loss.detach()
        optimiser.zero_grad()
        loss.sum().backward()
        optimiser.step()
    with torch.no_grad():
        last = kernels(stacked)
        losses[steps] = (last - targets).square().mean((-2, -1))
    return losses, last.detach()


def result_row(fit: Fit) -> dict[str, Any]:
    """Return the row of the table for a fit; the values are NaN if its loss became non-finite."""
    target = TARGETS[fit.target]()
    keys = {"net": fit.net, "target": fit.target, "lr": fit.lr, "steps": len(fit.losses) - 1, "seed": fit.seed}
    non_finite = np.flatnonzero(~np.isfinite(fit.losses))
    mse, best = (math.nan, math.nan) if len(non_finite) else (float(fit.losses[-1]), float(fit.losses.min()))
    return {
        **keys,
        "params": fit.params,
        "mse": mse,
        "mse_best": best,
        "psnr_db": psnr(mse, float(target.max() - target.min())),
        "target_variance": float(target.var(correction=0)),
        "published_mse": published_error(fit.net, fit.lr, fit.target),
        "status": "error" if len(non_finite) else "ok",
        "detail": f"the loss is not finite after {non_finite[0]} steps" if len(non_finite) else "",
    }


def psnr(mse: float, span: float) -> float:
    """Return 10 log10(span^2 / mse) in dB; infinite for an error of 0."""
    return float(10 * np.log10(np.divide(span**2, mse))) if mse else math.inf


def loss_curve(fit: Fit) -> Iterator[dict[str, Any]]:
    """Yield the loss at logarithmically spaced steps, including the first and the last."""
    last = len(fit.losses) - 1
    steps = np.unique(np.r_[0, np.geomspace(1, last, POINTS).round().astype(int)])
    keys = {"net": fit.net, "target": fit.target, "lr": fit.lr, "seed": fit.seed}
    return ({**keys, "step": int(step), "mse": float(fit.losses[step])} for step in steps)
