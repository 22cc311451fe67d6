"""The verbs' work that is more than a print."""

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
from bench import data, names
from bench import journal as store
from bench.cli import networks as backbones
from bench.cli.progress import progress
from bench.executors import torchrun_env as launch
from bench.executors.worker import WorkerDied
from bench.plan import IMAGE_CHANNELS, Axes, cells
from bench.report.write import write_reports
from bench.runner.sources import load_plugins
from bench.runner.sweep import Request, Sweep
from bench.spec import Job, Limits, Training
from bench.training import recipes

FAILED_JOBS = 3  # exit status, also where the disk took no more


def plan_sweep(words: tuple[str, ...], given: dict[str, Any], command: str) -> Sweep:
    """Plan, and say what there is to do. Raises ValueError, ImportError, OSError or CorruptJournal for bad input."""
    try:
        sweep = Sweep(_request(words, given, command))
    except WorkerDied as death:
        raise ImportError(f"no worker could start: {death.detail}") from death
    estimates = sweep.estimates()
    done = len(sweep.jobs) - len(sweep.todo)
    click.echo(f"{len(sweep.jobs)} jobs, {done} done before, about {_duration(sum(estimates.values()))} to go", err=True)
    if done and given["keep_weights"]:
        click.echo("--keep-weights keeps none of a training that is done: train again with --force", err=True)
    if given["dry_run"]:
        _print_plan(estimates)
    return sweep


def follow(given: dict[str, Any]) -> None:
    """Under torchrun, in all processes but the first: take part in what the first one does."""
    load_plugins(given["plugins"])
    if not given["dry_run"]:
        from bench.executors import torchrun

        torchrun.follow()


def run_sweep(sweep: Sweep, writer: store.Writer, figures: bool) -> None:
    """Run, report, with figures where asked for or where the run has some.

    Raises SystemExit where the sweep is interrupted, a job failed or the disk takes no more.
    """
    resume = f"every finished job is kept. Resume with: {sweep.request.command}"
    try:
        with progress(sweep.estimates()) as seen:
            failed = sweep.run(writer, seen)
        paths = write_reports([sweep.request.out], figures=figures or None)
    except KeyboardInterrupt:
        click.echo(f"\ninterrupted; {resume}", err=True)
        raise SystemExit(130) from None
    except store.CannotWrite as error:
        click.echo(f"Error: {error}; {resume}", err=True)
        raise SystemExit(FAILED_JOBS) from None
    for path in paths:
        click.echo(path)
    if failed:
        click.echo(f"{failed} of {len(sweep.todo)} jobs failed; the leaderboard gives their reasons", err=True)
        raise SystemExit(FAILED_JOBS)


def _request(words: tuple[str, ...], given: dict[str, Any], command: str) -> Request:
    load_plugins(given["plugins"])
    known = {entry.name: entry for entry in methods.catalogue()}
    model = given["level"] == "model"
    check_level(words, given)
    baseline = () if model or given["baseline"] == "none" else (given["baseline"],)
    chosen = names.select((*words, *baseline), known, bool(given["kernel"]))
    if baseline and given["baseline"] not in known:
        raise ValueError(f"--baseline takes one method's name, or none, not '{given['baseline']}'")
    check_threads(max(given["threads"]))
    protocol = training(given)
    if given["backbone"]:
        backbones.check(given["backbone"], chosen, given["res"][0] if model else (protocol.res, protocol.res))
    if "accuracy" in given["metrics"]:
        check_data(given["data"], given["download"], protocol.res)
    axes = Axes(
        methods=chosen,
        settings=names.overrides(given["overrides"], {name: known[name] for name in chosen}),
        **{axis: given[axis] for axis in ("res", "channels", "batch", "kernel", "dtype", "mode", "device", "threads", "seed")},
        timer=given["timer"],
        timing={name: given[name] for name in ("rounds", "max_rounds", "target") if given[name] is not None},
        level=given["level"], networks=given["backbone"] or ("mixer",), data=given["data"], training=protocol,
        seeds=tuple(range(given["seeds"] or 0)),
    )  # fmt: skip
    compared = given["baseline"]
    if model:
        compared = backbones.compared_with(compared if typed("baseline") else None, compared, list(cells(axes, known)), known)
    executor = "torchrun" if launch.launched() else given["executor"]
    memory = None if given["mem_limit"] is None else int(given["mem_limit"])
    scratch = str(given["out"].resolve() / "checkpoints")
    keep = given["keep_weights"]
    weights = str(given["out"].resolve() / "weights") if keep else ""
    often = given["save_every"], given["at_once"]
    limits = Limits(given["timeout"], given["max_cell_time"], memory, scratch, *often, weights, keep == "epochs")
    return Request(
        axes, given["metrics"], given["out"].resolve(), given["plugins"], executor, given["start"], given["malloc"],
        limits,
        given["force"], given["retry"] == "failed", command, compared,
    )  # fmt: skip


def check_level(words: tuple[str, ...], given: dict[str, Any]) -> None:
    """Raises ValueError for an option that the level needs, and for one that was given in vain."""
    if given["level"] == "model":
        if not given["backbone"]:
            raise ValueError("--level model needs --backbone: a network of ours, of timm or of torchvision")
        if typed("channels"):
            raise ValueError("--channels is for operators: networks of --level model take images")
        return
    if not words:
        raise ValueError("give --methods: names, globs such as 'niff*', or all")
    if given["backbone"] and "accuracy" not in given["metrics"]:
        raise ValueError("--backbone is for --level model, and for the metric accuracy")


def typed(option: str) -> bool:
    """Whether an option was given, and does not just have its default."""
    return click.get_current_context().get_parameter_source(option) is not ParameterSource.DEFAULT


def training(given: dict[str, Any]) -> Training:
    """The protocol of accuracy: a recipe and what was changed in it; raises ValueError."""
    protocol = recipes.changed(given["recipe"], given["train"])
    if given["budget"]:
        protocol = replace(protocol, **recipes.length(given["budget"]))
    protocol = replace(protocol, res=given["train_res"] or protocol.res, eval_res=given["eval_res"] or protocol.eval_res)
    if any(text.startswith("optimizer=") for text in given["train"]):
        check_optimizer(protocol.optimizer)
    return recipes.checked(protocol)


def check_optimizer(name: str) -> None:
    """Raises ValueError for a name that timm does not know; costs torch and timm."""
    import timm.optim

    known: list[str] = timm.optim.list_optimizers()  # type: ignore[attr-defined,assignment]
    if name.lower().removeprefix("lookahead_") not in known:
        raise ValueError(f"--train optimizer={name}: timm has no such optimizer{names.did_you_mean(name, known)}")


def check_data(texts: Iterable[str], download: bool, res: int) -> None:
    """Fetch what is missing if asked to; raises ValueError for a set that is unknown, not here or not for `res` pixels.

    Raises OSError where none comes.
    """
    for text in texts:
        if download:
            data.fetch(text)
        lost = data.missing(text)
        if lost:
            raise ValueError(lost)
        data.check(text, res)


def check_threads(threads: int) -> None:
    if threads > (os.cpu_count() or 1):
        raise ValueError(f"--threads {threads} is more than the {os.cpu_count()} cores of this machine")


def _print_plan(estimates: dict[Job, float]) -> None:
    """Every open job with its estimate, or with the reason why its method declines it."""
    for job, seconds in estimates.items():
        cell = job.cell
        setting = f"{cell.res:>9} {names.channels_text(cell):6} B{cell.batch:<3} {cell.dtype} {cell.device} {cell.mode:5}"
        click.echo(f"{cell.label:24} {setting} {job.metric:8} {_declined(job) or f'~{seconds:.1f} s'}")


def _declined(job: Job) -> str:
    """Why the constructor declines a cell, found on the meta device; empty where it does not."""
    from bench.workload.build import Workload

    try:
        Workload(replace(job.cell, channels=job.cell.channels or IMAGE_CHANNELS)).build("meta")
    except methods.Unsupported as reason:
        return f"skip: {reason}"
    except Exception as error:  # the sweep would make a row of it
        return f"error: {type(error).__name__}: {error}"
    return ""


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def exchanged(method: str, networks: Iterable[str], resolutions: Iterable[tuple[int, int]], plugins: Iterable[str]) -> str:
    """What a method takes the place of in each network at each resolution; raises ValueError."""
    load_plugins(plugins)
    known = methods.catalogue()
    return "\n\n".join(backbones.describe(network, method, known, res) for network in networks for res in resolutions)


def describe(name: str, plugins: Iterable[str]) -> str:
    """The whole docstring of a method with its options, paper and file; raises UnknownMethod."""
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
    """Print each check of each method that `target` names; the number of failures."""
    from methods.contract import check

    load_plugins(plugins)
    if not Path(target).is_file() and ("/" in target or target.endswith(".py")):
        raise ValueError(f"there is no file {target}")
    names = list(load_plugins([target])) if Path(target).is_file() else [target]
    failures = 0
    for name in names:
        for what, reason in check(methods.get(name)):
            failures += bool(reason)
            click.echo(f"{name}: {what}: {f'FAILED: {reason}' if reason else 'ok'}")
    return failures
