"""The commands `run`, `info` and `check`: their work."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

import methods
from bench import data, journal, names
from bench.cli import networks
from bench.cli.progress import progress
from bench.executors import torchrun_env
from bench.executors.worker import WorkerDied
from bench.plan import IMAGE_CHANNELS, Axes, cells
from bench.report.write import write_reports
from bench.runner.sources import load_plugins
from bench.runner.sweep import Request, Sweep
from bench.spec import Cell, Job, Limits, Training
from bench.training import recipes

FAILED_JOBS = 3  # exit status, also if the disk is full


def plan_sweep(patterns: tuple[str, ...], options: dict[str, Any], command: str) -> Sweep:
    """Plan a sweep and print what remains. Raises ValueError, ImportError, OSError or CorruptJournal for invalid input."""
    try:
        sweep = Sweep(_request(patterns, options, command))
    except WorkerDied as death:
        raise ImportError(f"no worker could start: {death.detail}") from death
    estimates = sweep.estimates()
    done = len(sweep.jobs) - len(sweep.todo)
    click.echo(f"{len(sweep.jobs)} jobs, {done} already done, about {_duration(sum(estimates.values()))} remaining", err=True)
    if done and options["keep_weights"]:
        click.echo("--keep-weights does not save weights of finished trainings: train again with --force", err=True)
    if options["dry_run"]:
        _print_plan(estimates)
    return sweep


def follow(options: dict[str, Any]) -> None:
    """Take part in the trainings of the first process. Called in all other processes under torchrun."""
    load_plugins(options["plugins"])
    if not options["dry_run"]:
        from bench.executors import torchrun

        torchrun.follow()


def run_sweep(sweep: Sweep, writer: journal.Writer, figures: bool) -> None:
    """Run the sweep and write its reports. Figures are drawn if `figures` is set or the run already has some.

    Raises SystemExit if the sweep is interrupted, a job failed or the disk is full.
    """
    resume = f"all finished jobs are saved. Resume with: {sweep.request.command}"
    try:
        with progress(sweep.estimates()) as seen:
            failed = sweep.run(writer, seen)
        paths = write_reports([sweep.request.out], figures=figures or None)
    except KeyboardInterrupt:
        click.echo(f"\ninterrupted; {resume}", err=True)
        raise SystemExit(130) from None
    except journal.CannotWrite as error:
        click.echo(f"Error: {error}; {resume}", err=True)
        raise SystemExit(FAILED_JOBS) from None
    for path in paths:
        click.echo(path)
    if failed:
        click.echo(f"{failed} of {len(sweep.todo)} jobs failed; the leaderboard lists the reasons", err=True)
        raise SystemExit(FAILED_JOBS)


def _request(patterns: tuple[str, ...], options: dict[str, Any], command: str) -> Request:
    load_plugins(options["plugins"])
    known = {entry.name: entry for entry in methods.catalogue()}
    model = options["level"] == "model"
    check_level(patterns, options)
    baseline = () if model or options["baseline"] == "none" else (options["baseline"],)
    selected = names.select((*patterns, *baseline), known, bool(options["kernel"]))
    if baseline and options["baseline"] not in known:
        raise ValueError(f"--baseline takes the name of a method, or none, not '{options['baseline']}'")
    check_threads(max(options["threads"]))
    protocol = training(options)
    if options["backbone"]:
        networks.check(options["backbone"], selected, options["res"][0] if model else (protocol.res, protocol.res))
    if "accuracy" in options["metrics"]:
        check_data(options["data"], options["download"], protocol.res)
    axes = Axes(
        methods=selected,
        settings=names.overrides(options["overrides"], {name: known[name] for name in selected}),
        **{axis: options[axis] for axis in ("res", "channels", "batch", "kernel", "dtype", "mode", "device", "threads", "seed")},
        timer=options["timer"],
        timing={name: options[name] for name in ("rounds", "max_rounds", "target") if options[name] is not None},
        level=options["level"], networks=options["backbone"] or ("mixer",), data=options["data"], training=protocol,
        seeds=tuple(range(options["seeds"] or 0)),
    )  # fmt: skip
    baseline_text = options["baseline"]
    if model:
        baseline_text = networks.baseline_label(
            baseline_text if is_set("baseline") else None, baseline_text, list(cells(axes, known)), known
        )
    executor = "torchrun" if torchrun_env.launched() else options["executor"]
    memory = None if options["mem_limit"] is None else int(options["mem_limit"])
    scratch = str(options["out"].resolve() / "checkpoints")
    keep = options["keep_weights"]
    weights = str(options["out"].resolve() / "weights") if keep else ""
    often = options["save_every"], options["at_once"]
    limits = Limits(options["timeout"], options["max_cell_time"], memory, scratch, *often, weights, keep == "epochs")
    return Request(
        axes, options["metrics"], options["out"].resolve(), options["plugins"], executor, options["start"], options["malloc"],
        limits,
        options["force"], options["retry"] == "failed", command, baseline_text,
    )  # fmt: skip


def check_level(patterns: tuple[str, ...], options: dict[str, Any]) -> None:
    """Raise ValueError if the level lacks a required option, or an option has no effect at the level."""
    if options["level"] == "model":
        if not options["backbone"]:
            raise ValueError("--level model needs --backbone: one of our networks, or of timm or torchvision")
        if is_set("channels"):
            raise ValueError("--channels applies to operators: networks (--level model) take images")
        return
    if not patterns:
        raise ValueError("give --methods: names, globs such as 'niff*', or all")
    if options["backbone"] and "accuracy" not in options["metrics"]:
        raise ValueError("--backbone applies to --level model and to the metric accuracy")


def is_set(option: str) -> bool:
    """Return whether the user set an option, rather than its default applying."""
    return click.get_current_context().get_parameter_source(option) is not ParameterSource.DEFAULT


def training(options: dict[str, Any]) -> Training:
    """Return the training protocol: the recipe with the changes of the command line. Raises ValueError."""
    protocol = recipes.with_overrides(options["recipe"], options["train"])
    if options["budget"]:
        protocol = replace(protocol, **recipes.parse_budget(options["budget"]))
    protocol = replace(protocol, res=options["train_res"] or protocol.res, eval_res=options["eval_res"] or protocol.eval_res)
    if any(text.startswith("optimizer=") for text in options["train"]):
        check_optimizer(protocol.optimizer)
    return recipes.validated(protocol)


def check_optimizer(name: str) -> None:
    """Raise ValueError for an optimizer that timm does not have. Imports torch and timm."""
    import timm.optim

    known: list[str] = timm.optim.list_optimizers()  # type: ignore[attr-defined,assignment]
    if name.lower().removeprefix("lookahead_") not in known:
        raise ValueError(f"--train optimizer={name}: timm has no such optimizer{names.did_you_mean(name, known)}")


def check_data(texts: Iterable[str], download: bool, res: int) -> None:
    """Check that the data sets exist for images of `res` pixels, after downloading them if `download` is set.

    Raises ValueError for an unknown or missing set or an unsupported resolution, and OSError if a download fails.
    """
    for text in texts:
        if download:
            data.fetch(text)
        reason = data.missing(text)
        if reason:
            raise ValueError(reason)
        data.check(text, res)


def check_threads(threads: int) -> None:
    if threads > (os.cpu_count() or 1):
        raise ValueError(f"--threads {threads} is more than the {os.cpu_count()} cores of this machine")


def _print_plan(estimates: dict[Job, float]) -> None:
    """Print every open job with its estimated time, or with the reason why the method does not support it."""
    for job, seconds in estimates.items():
        cell = job.cell
        setting = f"{cell.res:>9} {names.channels_text(cell):6} B{cell.batch:<3} {cell.dtype} {cell.device} {cell.mode:5}"
        click.echo(f"{cell.label:24} {setting} {job.metric:8} {_unsupported(job) or f'~{seconds:.1f} s'}")


def _unsupported(job: Job) -> str:
    """Return why the constructor rejects a cell, built on the meta device; empty if it does not."""
    from bench.workload.build import Workload

    try:
        Workload(replace(job.cell, channels=job.cell.channels or IMAGE_CHANNELS)).build("meta")
    except methods.Unsupported as reason:
        return f"skip: {reason}"
    except Exception as error:  # the sweep records it as a row
        return f"error: {type(error).__name__}: {error}"
    return ""


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def describe_replacements(
    method: str, backbones: Iterable[str], resolutions: Iterable[tuple[int, int]], plugins: Iterable[str]
) -> str:
    """Describe the convolutions that a method replaces in each network at each resolution. Raises ValueError."""
    load_plugins(plugins)
    known = methods.catalogue()
    return "\n\n".join(networks.describe(network, method, known, res) for network in backbones for res in resolutions)


def describe(name: str, plugins: Iterable[str]) -> str:
    """Return the docstring of a method, its paper and its options. Raises UnknownMethod."""
    load_plugins(plugins)
    method = methods.get(name)
    entry = method.entry
    fixed = [f"{option} = {value!r}" for option, value in entry.hparams.items()]
    free = [f"{option} = {value!r}" for option, value in entry.options.items() if option not in {*entry.hparams, "kernel_size"}]
    needed = [
        f"{option} (--kernel)" if option == "kernel_size" else option for option in entry.required if option not in entry.hparams
    ]
    lines = [name, "", inspect.cleandoc(method.cls.__doc__ or ""), "", f"Paper: {entry.paper or 'none given'}"]
    lines += [f"Fixed by the name: {', '.join(fixed)}"] if fixed else []
    lines += [f"Needed: {', '.join(needed)}"] if needed else []
    lines += ["Takes --kernel"] if entry.takes_kernel and not entry.needs_kernel else []
    lines += [f"Options (--set {name}.OPTION=VALUE): {', '.join(free)}"] if free else []
    return "\n".join(lines)


def check_contract(target: str, plugins: Iterable[str]) -> int:
    """Print every contract check of the methods that `target` names and return the number of failures.

    A last line per method compares its multiply-adds with those that fvcore counts. It never fails.
    """
    from bench.metrics._fvcore import compare
    from bench.workload.build import Workload
    from methods.contract import CHANNELS, KERNEL, check

    load_plugins(plugins)
    if not Path(target).is_file() and ("/" in target or target.endswith(".py")):
        raise ValueError(f"no such file: {target}")
    names = list(load_plugins([target])) if Path(target).is_file() else [target]
    failures = 0
    for name in names:
        for what, reason in check(methods.get(name)):
            failures += bool(reason)
            click.echo(f"{name}: {what}: {f'FAILED: {reason}' if reason else 'ok'}")
        kernel = KERNEL if methods.get(name).entry.needs_kernel else None
        click.echo(f"{name}: gmacs: {compare(Workload(Cell(name, 12, 12, CHANNELS, kernel=kernel)))}")
    return failures
