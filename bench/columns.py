"""Data dictionary: every metric, and unit, direction and meaning of every column of the tables. Does not import torch.

The columns of a metric are declared in its file, which is read without importing it: it imports torch.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from pathlib import Path

from bench.axes import in_reading_order

FIRST = ("params", "flops", "latency", "memory", "energy", "properties", "accuracy")  # order of their columns; others follow
DIRECTIONS = ("lower", "higher", "")
CHANGES = ("exact", "rounds", "interval", "points")
SCALES = {"B": (1e6, "MB"), "FLOP": (1e9, "GFLOP")}  # unit -> factor and name of the displayed unit


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    metric: str = ""  # the metric that fills it; "" for axes, provenance and columns computed from several metrics
    unit: str = ""
    better: str = ""  # "lower", "higher" or "" if neither
    meaning: str = ""
    heading: str = ""  # in the ranking tables, which show the headlines of all metrics and the columns with a heading
    best: bool = True  # the ranking tables mark the best value
    interval: tuple[str, ...] = ()  # columns of the ends of its 95% confidence interval


@dataclass(frozen=True)
class Metric:
    """What the harness knows about a metric. Every file of `bench/metrics/` declares one as `METRIC`, by a literal expression.

    Raises ValueError if the first column has no direction, or `change` is unknown.
    """

    columns: tuple[Column, ...]  # the first is the headline: it is compared, ranked and shown while a sweep runs
    name: str = ""  # that of the file
    default: bool = True  # measured by a sweep that names no metrics
    ranked: bool = True  # the headline is a column of the ranking tables; False: it has a table of its own
    interleaved: bool = False  # sensitive to background load: its rounds are interleaved across the methods of a setting
    calls: int = 1  # minimum number of calls of a job, to predict its duration; a protocol may replace it. 0: not predicted
    largest: int = 1  # side of the largest feature map that it calls over that of the cell; if above 1 with a batch of 1
    typical_seconds: float = 2.0  # per job, until the journal has records of the same kind
    depends_on: tuple[str, ...] = ("speed",)  # facts of the environment that affect it: see bench/report/compare/comparable.py
    change: str = "exact"  # between two runs: exact, from the rounds, from the interval, or in percentage points
    observations: str = ""  # column with the number of observations of the interval
    rounding: float = 0.0  # values below it are equal to it

    def __post_init__(self) -> None:
        if not self.headline.better:
            raise ValueError(f"the first column of a metric needs a better direction: {self.headline.name}")
        if wrong := [column for column in self.columns if column.better not in DIRECTIONS]:
            raise ValueError(f"column {wrong[0].name}: better is lower, higher or empty, not {wrong[0].better!r}")
        if self.change not in CHANGES:
            raise ValueError(f"change is one of {', '.join(CHANGES)}, not {self.change!r}")

    @property
    def headline(self) -> Column:
        return self.columns[0]


def read_metrics(folder: Path) -> dict[str, Metric]:
    """Return the metric of every file of a folder, by name. Raises ValueError for a file without a valid `METRIC`."""
    files = {path.stem: path for path in sorted(folder.glob("[!_]*.py"))}
    order = [name for name in FIRST if name in files] + [name for name in files if name not in FIRST]
    metrics = {name: _read_metric(files[name]) for name in order}
    owners: dict[str, str] = {}
    for name, metric in metrics.items():
        for column in metric.columns:
            if owners.setdefault(column.name, name) != name:
                raise ValueError(f"{files[name]}: column {column.name} belongs to the metric {owners[column.name]}")
    return metrics


def _read_metric(path: Path) -> Metric:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    except SyntaxError as error:
        raise ValueError(f"{path}: {error}") from error
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "METRIC":
            expression = compile(ast.Expression(node.value), str(path), "eval")
            try:
                metric: Metric = eval(expression, {"Metric": Metric, "Column": Column})
            except (NameError, TypeError, ValueError) as error:
                raise ValueError(f"{path}: METRIC: {error}") from error
            return replace(metric, name=path.stem, columns=tuple(replace(c, metric=path.stem) for c in metric.columns))
    raise ValueError(f"{path} declares no METRIC")


def _axis(name: str, meaning: str, unit: str = "") -> Column:
    return Column(name, unit=unit, meaning=meaning)


def _axis_columns() -> list[Column]:
    return [_axis(name, meaning, axis.unit) for axis in in_reading_order() for name, meaning in axis.meaning.items()]


METRICS: dict[str, Metric] = read_metrics(Path(__file__).with_name("metrics"))
DEFAULT_METRICS = tuple(name for name, metric in METRICS.items() if metric.default)
_SPEEDUP = Column(
    "speedup",
    better="higher",
    meaning="speedup over the baseline: median ratio over rounds (Hodges-Lehmann)",
    interval=("speedup_lo", "speedup_hi"),
)
DERIVED = (  # computed from latencies and other metrics
    Column("place", better="lower", meaning="rank by latency in the setting; tied methods have the same rank"),
    _SPEEDUP,
    Column("speedup_lo", better="higher", meaning="lower end of the 95% confidence interval; paired by round within one session"),
    Column("speedup_hi", better="higher", meaning="upper end of the 95% confidence interval"),
    Column("verdict", meaning="verdict against the baseline: faster, slower, same or unclear"),
    Column(
        "pareto", better="higher", meaning="1: on the Pareto front of latency and accuracy; 0 also if not above trivial accuracy"
    ),
    Column(
        "bytes_min",
        unit="B",
        better="lower",
        meaning="compulsory traffic: input, output, weights and, in training, gradients, each once",
    ),
    Column(
        "limit_ms",
        unit="ms",
        better="lower",
        meaning="time of the traffic or the operations at the measured peak rates (env --measure)",
    ),
    Column(
        "pct_of_limit", unit="%", better="higher", meaning="limit_ms over latency_ms; a bound for this algorithm, not for others"
    ),
    Column("bound", meaning="limiting factor: memory, compute, or launch if launching operations takes most of the time"),
)
COLUMNS: tuple[Column, ...] = (
    _axis("method", "registered name of the method"),
    _axis("label", "name with the overridden options and the kernel size"),
    _axis("params", "overridden options as JSON"),
    _axis("level", "op: one operator; model: a network"),
    _axis("network", "name and options of the network; empty at level op"),
    *_axis_columns(),
    _axis("env", "id of the environment of the measurement, described in journal.jsonl"),
    *(column for name, metric in METRICS.items() for column in (*metric.columns, *(DERIVED if name == "latency" else ()))),
)

# Columns of accuracy.csv: one row per training and evaluation resolution, not averaged over seeds.
ACCURACY_COLUMNS: tuple[Column, ...] = (
    _axis("method", "registered name of the method; original: the published network"),
    _axis("label", "name with the overridden options and the kernel size"),
    _axis("params", "overridden options as JSON"),
    _axis("network", "network around the operator, with its options"),
    _axis("device", "cpu or cuda:i"),
    _axis("threads", "CPU threads"),
    _axis("data", "data set with its options"),
    _axis("res", "training resolution", "px"),
    _axis("eval_res", "evaluation resolution", "px"),
    _axis("way", "adaptation of operators of fixed map size to another resolution; empty if none was needed"),
    _axis("protocol", "training protocol; accuracies are comparable within one protocol only"),
    _axis("seed", "seed of the weights and of the order of images"),
    _axis("env", "id of the environment of the training, described in journal.jsonl"),
    Column("accuracy", metric="accuracy", unit="%", better="higher", meaning="top-1 accuracy on the test split at eval_res"),
    Column(
        "validation",
        metric="accuracy",
        unit="%",
        better="higher",
        meaning="accuracy on the validation split at res after the last epoch",
    ),
    Column("floor", metric="accuracy", unit="%", meaning="trivial accuracy: accuracy of a trivial predictor"),
    Column("floor_of", metric="accuracy", unit="name", meaning="trivial predictor: the largest class, or a shortcut"),
    Column("images", metric="accuracy", meaning="images of the test split, the same for all seeds"),
    Column("lr", metric="accuracy", meaning="learning rate; the best on the validation split if several were tried"),
    Column("epochs", metric="accuracy", meaning="number of epochs"),
    Column(
        "params_count",
        metric="accuracy",
        better="lower",
        meaning="trainable parameters of the whole network with the classes of the data set",
    ),
    Column(
        "train_s", metric="accuracy", unit="s", better="lower", meaning="time of the training steps, without search and evaluation"
    ),
    Column("images_s", metric="accuracy", unit="1/s", better="higher", meaning="training images per second"),
    Column("processes", metric="accuracy", meaning="number of training processes"),
    _axis("status", "ok, or the reason why accuracy is empty"),
    _axis("detail", "detailed reason"),
)


def columns_of(metric: str) -> list[str]:
    """Return the names of the columns of a metric."""
    return [column.name for column in METRICS[metric].columns]


def headline(metric: str) -> Column:
    """Return the column by which a metric is compared: its first."""
    return METRICS[metric].headline


def column_of(name: str) -> Column:
    """Return the column of that name. Raises KeyError if there is none."""
    return {column.name: column for column in COLUMNS}[name]
