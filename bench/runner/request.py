"""From the options of a sweep to its plan. Every check of the options is here or in the kinds of their values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import methods
from bench import data, names
from bench.plan import Grid, Trainings, cells
from bench.runner import networks
from bench.runner.options import BASELINE, RunOptions, WorkerOptions
from bench.runner.sources import load_plugins, session_code
from bench.spec import Limits
from bench.training import recipes


@dataclass(frozen=True, kw_only=True)
class Request:
    """A sweep as requested, checked."""

    grid: Grid
    code: Mapping[str, str] = field(default_factory=dict)  # digests of the methods that plugins and this process register
    metrics: tuple[str, ...]
    out: Path
    workers: WorkerOptions = field(default_factory=WorkerOptions)
    limits: Limits = field(default_factory=Limits)
    force: bool = False
    retry_failed: bool = False
    command: str = ""
    baseline: str = "none"


def request(options: RunOptions, command: str) -> Request:
    """Return the request of these options. Raises ValueError, ImportError and OSError for invalid ones."""
    check_level(options)
    check_threads(max(options.axes.threads or (1,)))
    bounds = limits(options)
    code = load_plugins(options.workers.plugins)
    known = {entry.name: entry for entry in methods.catalogue()}
    baseline = "none" if options.level == "model" else options.baseline or BASELINE
    selected = _select(options, baseline, known)
    code |= session_code(selected, code, in_workers=options.workers.executor == "process")
    grid = _grid(options, selected, known)
    if options.level == "model":
        baseline = networks.baseline_label(options.baseline, BASELINE, list(cells(grid, known)), known)
    return Request(
        grid=grid,
        code=code,
        metrics=options.metrics,
        out=options.out.resolve(),
        workers=options.workers,
        limits=bounds,
        force=options.force,
        retry_failed=options.retry == "failed",
        command=command,
        baseline=baseline,
    )


def _grid(options: RunOptions, selected: tuple[str, ...], known: Mapping[str, methods.Entry]) -> Grid:
    """Return the grid of a sweep, after checking its training protocol, networks and data sets. Raises ValueError and OSError."""
    training = options.training
    changes = recipes.Changes(training.train, training.budget, training.train_res, training.eval_res)
    protocol = recipes.protocol(training.recipe, changes)
    if options.backbone:
        size = options.axes.res[0] if options.level == "model" else (protocol.res, protocol.res)
        networks.check(options.backbone, selected, size)
    if "accuracy" in options.metrics:
        data.require(training.data, protocol.res, training.download)
    return Grid(
        methods=selected,
        axes={name: values for name, values in vars(options.axes).items() if values},
        params=names.overrides(options.overrides, {name: known[name] for name in selected}),
        level=options.level,
        networks=options.backbone or ("mixer",),
        timer=options.timing.timer,
        timing=options.timing.changes,
        trainings=Trainings(protocol, training.data, tuple(range(training.seeds or 0))),
    )


def _select(options: RunOptions, baseline: str, known: dict[str, methods.Entry]) -> tuple[str, ...]:
    """Return the methods of a sweep, the baseline of operators included. Raises ValueError."""
    selected = names.select((*options.methods, *([] if baseline == "none" else [baseline])), known, bool(options.axes.kernel))
    if baseline not in ("none", *known):
        raise ValueError(f"--baseline takes the name of a method, or none, not '{baseline}'")
    return selected


def check_level(options: RunOptions) -> None:
    """Raise ValueError if the level lacks a required option, or an option has no effect at the level."""
    if options.level == "model":
        if not options.backbone:
            raise ValueError("--level model needs --backbone: one of our networks, or of timm or torchvision")
        if options.axes.channels:
            raise ValueError("--channels applies to operators: networks (--level model) take images")
        return
    if not options.methods:
        raise ValueError("give --methods: names, globs such as 'niff*', or all")
    if options.backbone and "accuracy" not in options.metrics:
        raise ValueError("--backbone applies to --level model and to the metric accuracy")


def limits(options: RunOptions) -> Limits:
    """Return what ends or prevents a job."""
    out, training = options.out.resolve(), options.training
    return Limits(
        timeout=options.limits.timeout,
        cell_seconds=options.limits.max_cell_time,
        memory=None if options.limits.mem_limit is None else int(options.limits.mem_limit),
        scratch=str(out / "checkpoints"),
        save_every=training.save_every,
        at_once=training.at_once,
        weights=str(out / "weights") if training.keep_weights else "",
        each_epoch=training.keep_weights == "epochs",
    )


def check_threads(threads: int) -> None:
    """Raise ValueError if the machine has fewer cores."""
    if threads > (os.cpu_count() or 1):
        raise ValueError(f"--threads {threads} is more than the {os.cpu_count()} cores of this machine")
