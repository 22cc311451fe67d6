"""What a kernel network can represent: fitted to kernels, by itself, far from any image (FlexConv, ICLR 2022).

Adam without schedule on the mean squared error of all 33 x 33 values, float32, as many steps and one learning rate for all (SIREN
also with its published one). What the figures mean: how near such a network comes to a given kernel when nothing else is asked of
it. What they do not mean: that a trained layer finds such kernels, or needs them.
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

from bench.analysis.fitting import figures as fitting_figures
from bench.analysis.fitting import text as fitting_text
from bench.analysis.fitting.nets import NETS
from bench.analysis.fitting.targets import TARGETS, published
from bench.analysis.output import Findings
from bench.names import did_you_mean

POINTS = 60  # of a curve of loss

COLUMNS = {
    "net": "kernel network",
    "target": "what it is fitted to",
    "lr": "learning rate of Adam",
    "steps": "updates",
    "seed": "of the network's initialisation",
    "params": "trainable parameters, for 1089 values",
    "mse": "mean squared error after the last step",
    "mse_best": "smallest of all steps; the published figure is that of the step with the smallest loss",
    "psnr_db": "dB, 10 log10 (range of the target)^2 / mse",
    "target_variance": "mean squared error of the best constant",
    "published_mse": "by FlexConv's authors; 5e-9 where they print 0.00000000",
    "status": "ok, or error where the loss stopped being a number",
    "detail": "from which step on",
    "step": "updates made when the loss was taken",
}


class Fit(NamedTuple):
    """One network after its fit to one target."""

    net: str
    target: str
    lr: float
    seed: int
    params: int
    losses: np.ndarray  # (steps + 1,): before each update, and after the last
    kernel: np.ndarray  # (33, 33)


def analyse(nets: Sequence[str], targets: Sequence[str], steps: int, seeds: int) -> Findings:
    """Fit networks to targets, all where none is named, from seeds 0, 1, ...; raises ValueError for an unknown name."""
    names, aims = _chosen("net", nets, NETS), _chosen("target", targets, TARGETS)
    fits = [fit for name in names for lr in NETS[name].rates for fit in fitted(name, aims, lr, steps, seeds)]
    table = pd.DataFrame(map(row, fits))
    curves = pd.DataFrame(point for fit in fits for point in curve(fit))
    return Findings(
        "What kernel networks can represent",
        fitting_text.page(table),
        {"fitting": table, "curves": curves},
        fitting_figures.draw(table, curves, {(fit.net, fit.lr, fit.target): fit.kernel for fit in fits if fit.seed == 0}),
        COLUMNS,
    )


def _chosen(what: str, given: Sequence[str], known: dict[str, Any]) -> Sequence[str]:
    for name in given:
        if name not in known:
            raise ValueError(f"unknown {what} '{name}'{did_you_mean(name, list(known))} (known: {', '.join(known)})")
    return given or list(known)


def fitted(net: str, targets: Sequence[str], lr: float, steps: int, seeds: int) -> Iterator[Fit]:
    """A network of each seed fitted to each target, all in one batch."""
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
    """Fit n networks of one kind to targets (n, H, W), each by itself: losses (steps + 1, n) and the kernels in the end (n, H, W).

    Adam works on each parameter alone, so that a stack of networks is optimised as each would be, and one that diverges harms none.
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


def row(fit: Fit) -> dict[str, Any]:
    """A fit as a row of the table; one whose loss stopped being a number has no figures."""
    target = TARGETS[fit.target]()
    facts = {"net": fit.net, "target": fit.target, "lr": fit.lr, "steps": len(fit.losses) - 1, "seed": fit.seed}
    broken = np.flatnonzero(~np.isfinite(fit.losses))
    mse, best = (math.nan, math.nan) if len(broken) else (float(fit.losses[-1]), float(fit.losses.min()))
    return {
        **facts,
        "params": fit.params,
        "mse": mse,
        "mse_best": best,
        "psnr_db": psnr(mse, float(target.max() - target.min())),
        "target_variance": float(target.var(correction=0)),
        "published_mse": published(fit.net, fit.lr, fit.target),
        "status": "error" if len(broken) else "ok",
        "detail": f"the loss is not finite after {broken[0]} steps" if len(broken) else "",
    }


def psnr(mse: float, span: float) -> float:
    """10 log10(span^2 / mse) in dB, infinite where there is no error."""
    return float(10 * np.log10(np.divide(span**2, mse))) if mse else math.inf


def curve(fit: Fit) -> Iterator[dict[str, Any]]:
    """The loss at steps that grow evenly on a logarithmic scale, and at the last."""
    last = len(fit.losses) - 1
    steps = np.unique(np.r_[0, np.geomspace(1, last, POINTS).round().astype(int)])
    facts = {"net": fit.net, "target": fit.target, "lr": fit.lr, "seed": fit.seed}
    return ({**facts, "step": int(step), "mse": float(fit.losses[step])} for step in steps)
