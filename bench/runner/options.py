"""The options of a sweep: those of `python -m bench run` and of `bench.run`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, make_dataclass
from pathlib import Path
from typing import Any

from bench.axes import in_reading_order
from bench.columns import DEFAULT_METRICS, METRICS
from bench.kinds import BYTES, NEW_FOLDER, POSITIVE, SECONDS, SHARE, SWITCH, Kind, choice, number
from bench.options import METHODS, NAMES, Options, PluginOptions, group, option

BASELINE = "dwconv7"
METRIC = choice(*METRICS, name="METRIC")
TIMERS, ALLOCATORS = choice("cold", "hot", "graph", "wall"), choice("tuned", "default")
OPTIONAL = [name for name in METRICS if name not in DEFAULT_METRICS]


def axis_options(
    name: str,
    many: bool,
    without: Collection[str] = (),
    required: Collection[str] = ("res",),
    texts: Mapping[str, str] | None = None,
) -> Any:
    """Return a class of options with one option per axis; `texts` replace help texts.

    None means that the user set none, so the default of the axis applies.
    """
    options = []
    for axis in in_reading_order():
        if axis.name not in without:
            usual = ", ".join(str(value) for value in axis.default if value is not None and axis.name not in required)
            text = f"{axis.help.rstrip('.')}; default {usual}." if usual else axis.help
            text = (texts or {}).get(axis.name, text)
            default = MISSING if axis.name in required else None
            options.append((axis.name, Any, option(default, text, axis.kind, many=many)))
    return make_dataclass(name, options, bases=(Options,), frozen=True, kw_only=True)


AxisOptions = axis_options("AxisOptions", many=True)
SIZE_TEXT = "Feature map size: 224 or 64x96."
SettingOptions = axis_options("SettingOptions", many=False, without=("kernel",), texts={"res": SIZE_TEXT})
QueryOptions = axis_options(
    "QueryOptions",
    many=False,
    without=("kernel", "seed"),
    required=("res", "channels"),
    texts={"res": SIZE_TEXT, "device": "cpu, cuda or cuda:i; auto, the default, is every device with results."},
)


@dataclass(frozen=True, kw_only=True)
class TimingOptions(Options):
    """Options of the latency."""

    timer: str = option("cold", "Latency timer on a GPU.", TIMERS)
    rounds: int | None = option(None, "Minimum rounds per latency; default 10.", number(2))
    max_rounds: int | None = option(None, "Maximum rounds per latency; default 25.", number(2))
    target: float | None = option(None, "Stop at this half-width of the 95% interval; default 2%.", SHARE)

    @property
    def changes(self) -> dict[str, Any]:
        """The settings of the latency protocol that are set."""
        return {name: value for name in ("rounds", "max_rounds", "target") if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(Options):
    """Options of the accuracy."""

    data: tuple[str, ...] = option(("digits",), "Data sets of accuracy: NAME[option=value].", NAMES, many=True)
    download: bool = option(False, "Download missing data sets.", SWITCH)
    seeds: int | None = option(None, "Number of seeds of accuracy, from 0; default: those of --seed.", POSITIVE)
    recipe: str = option("quick", "Named training protocol.")
    budget: str | None = option(None, "Length of each training.", Kind("60s|epochs=20", str))
    train_res: int | None = option(None, "Resolution of the training images.", POSITIVE)
    eval_res: tuple[int, ...] = option((), "Additional resolutions for evaluation only: 16,24,32.", POSITIVE, many=True)
    train: tuple[str, ...] = option(
        (), "Change a setting of the recipe; lr=0.01,0.02 searches two.", Kind("SETTING=VALUE", str), many=True, commas=False
    )
    keep_weights: str | None = option(
        None, "Save weights for analyze: of the last epoch, or of every epoch.", choice("last", "epochs")
    )
    save_every: float = option(60.0, "Time between checkpoints.", SECONDS)
    at_once: int = option(1, "Number of parallel trainings on a CPU.", POSITIVE)


@dataclass(frozen=True, kw_only=True)
class WorkerOptions(PluginOptions):
    """Options of the processes that measure."""

    executor: str = option("process", "Where jobs run.", choice("process", "inline"))
    start: str = option("forkserver", "How workers start.", choice("forkserver", "spawn"))
    malloc: str = option("tuned", "C allocator of the workers.", ALLOCATORS)


@dataclass(frozen=True, kw_only=True)
class LimitOptions(Options):
    """Options that skip or stop jobs."""

    timeout: float = option(300.0, "Time limit per job; the job is killed after it.", SECONDS)
    max_cell_time: float = option(120.0, "Jobs predicted to take longer are skipped.", SECONDS)
    mem_limit: float | None = option(None, "Memory limit per job, such as 4GB; default: the free memory.", BYTES)


@dataclass(frozen=True, kw_only=True)
class RunOptions(Options):
    """Options of a sweep."""

    methods: tuple[str, ...] = option((), "Names, globs such as 'niff*', or all.", METHODS, "--methods", "-m", many=True)
    axes: Any = group(AxisOptions)
    level: str = option("op", "op: single operators; model: whole networks.", choice("op", "model"))
    backbone: tuple[str, ...] = option(
        (), "Networks to measure; at level op the networks for accuracy (default mixer).", NAMES, many=True
    )
    metrics: tuple[str, ...] = option(DEFAULT_METRICS, f"Also available: {', '.join(OPTIONAL)}.", METRIC, many=True)
    timing: TimingOptions = group(TimingOptions)
    overrides: tuple[str, ...] = option(
        (), "Override an option of a method.", Kind("METHOD.OPTION=VALUE", str), "--set", many=True, commas=False
    )
    baseline: str | None = option(
        None,
        f"Method that speedups refer to; it is measured too. 'none' for no baseline; default {BASELINE}. "
        "For networks a label such as 'resnet18 + niff'; default: the first network as published.",
    )
    training: TrainingOptions = group(TrainingOptions)
    workers: WorkerOptions = group(WorkerOptions)
    out: Path = option(Path("results/local"), "Folder of the run.", NEW_FOLDER, "-o", "--out")
    limits: LimitOptions = group(LimitOptions)
    force: bool = option(False, "Measure finished jobs again.", SWITCH)
    retry: str | None = option(None, "Measure failed jobs again.", choice("failed"))
    figures: bool = option(False, "Draw figures; default: only if the run already has figures.", SWITCH)
