"""The leaderboard in markdown: one section a setting, one table a resolution, ranked by latency, every failure in sight."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, cast

import pandas as pd

from bench import learned
from bench.columns import ACCURACIES, COLUMNS, METRICS, Column
from bench.nets.published import IMAGENET
from bench.report import learning, networks
from bench.report.text import Footnotes, code, escape, missing, plus_minus, points, short, whole
from bench.report.text import table as text_table
from bench.store import Journal
from bench.table import SETTING, Row, tidy

READING = """\
# Leaderboard

Methods are ranked by latency; those that this run does not tell apart share a place (=). **Bold** is the best of a column among
the methods that ran. *vs* a baseline is its latency over the method's, above 1 is faster: the middle of the ratios of the rounds
that both ran side by side, in this run on this machine. ± is half of the 95% interval over rounds. *Kernel* is the spatial
extent, for a learned size that of the initialisation. GFLOP counts Fourier transforms and complex products as executed; GMAC is
the direct form's multiply-adds as fvcore counts them, where an FFT is 0. Memory is the allocator's peak above what was held
before. Accuracy is top-1 on the task that a heading names, at its own resolution, ± half of the 95% interval over seeds in points;
only one that is told from its floor may be bold or on the Pareto front. *Published* figures are those of the methods' own code.
[What every column means](README.md).

Tables of accuracy rank the methods of one protocol. Those that Welch's test does not tell apart from the first of a place, over
seeds and at 5%, share it (=): with one seed each all do. *vs floor* are points above what needs no look at what the task is about,
n.s. where seeds and the choice of test images explain them. A method of which a seed failed has no mean.
"""
FRONT = "◆ Pareto front: no other method of this table is as fast and as accurate, and better in one, by the middle values.\n"
# heading, metric, column, unit, text, best
COLUMN = tuple[str, str, str, float, Callable[[Any], str], Callable[[Iterable[float]], float] | None]
SHOWN: tuple[COLUMN, ...] = (
    ("latency, ms", "latency", "latency_ms", 1, short, min),
    ("params", "params", "params_count", 1, whole, min),
    ("GFLOP", "flops", "flops", 1e9, short, min),
    ("GMAC", "flops", "gmacs", 1, short, None),  # no best: a transform counts 0 here
    ("memory, MB", "memory", "mem_peak_bytes", 1e6, short, min),
    ("accuracy, %", "accuracy", "accuracy", 1, "{:.1f}".format, max),
)


FLAGS = {
    "throttled": "throttled: the device's clock stayed low in five repetitions of a round",
    "launch_bound": "launch-bound: the host takes longer to enqueue the call than the device to run it",
    "foreign_processes": "other processes used the device",
}
DISTURBED = {
    True: "processor time: other processes disturbed too many samples",
    False: "disturbed: other processes interrupted too many samples, and processor time says nothing of several threads",
}


def leaderboard(journals: Sequence[Journal], tables: Sequence[pd.DataFrame] | None = None) -> str:
    """The whole page, the newest run first. `tables` are the journals' tidy tables, where they are made already."""
    made = zip(journals, tables or map(tidy, journals))
    newest = sorted(made, key=lambda pair: -max((run["started"] for run in pair[0].runs), default=0))
    return "\n".join([READING, *(part for journal, table in newest for part in sections(journal, table))])


def sections(journal: Journal, table: pd.DataFrame) -> Iterator[str]:
    """One run: where and how it was measured, then its settings."""
    yield f"## {journal.name}\n"
    yield from provenance(journal)
    trainings = set(map(networks.trained, learned.trained(journal)))
    for setting in grouped(filter(measured, records_of(table)), *SETTING).values():
        yield heading(setting)
        for (height, width), rows in sorted(grouped(setting, "height", "width").items()):
            yield f"#### {height if height == width else f'{height} x {width}'} px\n"
            yield from ranking(rows, journal.baseline_of(setting[0]["level"]), trainings)
    yield from learning.sections(journal)


def measured(row: Row) -> bool:
    """Whether a row holds more than an accuracy, which has tables of its own."""
    return any(not missing(row[f"{metric}_status"]) for metric in METRICS if metric != "accuracy")


def records_of(table: pd.DataFrame) -> list[Row]:
    """The rows of the tidy table as dictionaries: pandas takes longer over a thousand small tables than over one large one."""
    return cast("list[Row]", table.to_dict("records"))


def grouped(rows: Iterable[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    """Rows that agree in these columns, in order of first appearance."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    return found


def provenance(journal: Journal) -> Iterator[str]:
    for command, commit in dict.fromkeys((run["command"], run.get("commit")) for run in journal.runs):
        yield f"- Reproduce: `{command}`" + (f" at commit {commit}" if commit else "")
    for env in journal.envs.values():
        yield f"- Environment `{env['id']}`: {machine(env)}\n"


def machine(env: dict[str, Any]) -> str:
    """The hardware and the software of an environment in one line."""
    processor = f"{env['cpu']} ({env['cores']} cores, {env['memory_gb']} GB, {env['cpu_capability']})"
    software = f"torch {env['torch']}, Python {env['python']}, {env['os']}, allocator {env['malloc']}"
    return f"{processor}, GPU {'; '.join(env['gpus']) or 'none'}, {software}"


def heading(rows: Sequence[Row]) -> str:
    """What the rows of one setting have in common."""
    key = rows[0]
    threads = f", {key['threads']} thread{'s' if key['threads'] > 1 else ''}" if key["device"] == "cpu" else ""
    timer = "" if key["device"] == "cpu" or missing(key["timer"]) else f", timed {key['timer']}"
    seed = f", seed {key['seed']}" if key["seed"] else ""
    mode = {"infer": "inference", "train": "training step"}[key["mode"]]
    tasks = [task for task in grouped(rows, "accuracy_data", "accuracy_res") if not any(map(missing, task))]
    taught = "".join(f"; accuracy on {escape(data)} at {res:.0f} px" for data, res in tasks)
    networked = f"networks of {IMAGENET} classes, {key['channels']} image channels"
    width = networked if key["level"] == "model" else f"{key['channels']} channels"
    return f"### {key['device']}{threads}{timer}, {key['dtype']}, {mode}, batch {key['batch']}, {width}{seed}{taught}\n"


def ranking(rows: Iterable[Row], baseline: str, trainings: Collection[networks.Trained] = ()) -> list[str]:
    """The table of one setting at one resolution, and its footnotes; `trainings` are all of the journal."""
    records = sorted(rows, key=lambda row: math.inf if missing(row["latency_ms"]) else row["latency_ms"])
    reference = next((row for row in records if row["verdict"] == "baseline"), None)
    versus = f"vs {escape(baseline)}"
    best = {column: _best(records, column, choose) for _, _, column, _, _, choose in SHOWN}
    told = any(map(networks.entry, records))
    notes = Footnotes()
    lines = []
    for row in records:
        changed = networks.exchanged(row)
        name = code(row["label"]) + (notes.mark(changed) if changed else "")
        named = {"#": _place(row, records), "method": name, "kernel": _extent(row)}
        cells: dict[str, str] = {}
        for spec in SHOWN:
            cells |= {spec[0]: _cell(row, spec, best[spec[2]], notes)}
            cells |= networks.beside(row, spec[0], notes) if told else {}
        if not cells["accuracy, %"] and (where := networks.elsewhere(row, trainings)):
            cells["accuracy, %"] = notes.mark(where)
        timed = {"latency, ms": cells.pop("latency, ms"), versus: _ratio(row, reference, notes)}
        lines.append(named | timed | cells)
    if all(missing(row["latency_status"]) for row in records):
        lines = without_empty(lines)
    return [text_table(lines), *([FRONT] if any(row["pareto"] == 1 for row in records) else []), *notes.below()]


def without_empty(lines: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The lines without the columns that none of them fills."""
    kept = [name for name in lines[0] if any(line[name] for line in lines)]
    return [{name: line[name] for name in kept} for line in lines]


def _place(row: Row, records: Sequence[Row]) -> str:
    """The place by latency, with an = where several methods share it."""
    if missing(row["place"]):
        return ""
    shared = sum(other["place"] == row["place"] for other in records) > 1
    return f"{row['place']:.0f}" + "=" * shared


def _best(records: Sequence[Row], column: str, choose: Callable[[Iterable[float]], float] | None) -> float:
    """The best value among the methods that ran; NaN where it would say nothing: fewer than two different values."""
    ran = [row[column] for row in records if row["latency_status"] == "ok" and not missing(row[column]) and _counts(row, column)]
    return choose(ran) if choose and len(set(ran)) > 1 else math.nan


def _counts(row: Row, column: str) -> bool:
    """Whether a value may be the best of its column: an accuracy only above its floor."""
    return column != "accuracy" or learned.above_floor(row)


def _cell(row: Row, spec: COLUMN, best: float, notes: Footnotes) -> str:
    """A number, a failure as its status with a footnote, or nothing where the metric was not asked for."""
    _, metric, column, unit, text, _ = spec
    status = row[f"{metric}_status"]
    if missing(status):
        return ""
    if status != "ok":
        return notes.failure(status, row[f"{metric}_detail"] or "no reason given")
    shown = text(row[column] / unit) + (_spread(row, notes) if metric == "latency" else "")
    if metric == "accuracy":
        half = row["accuracy_half"]
        shown = points(row["accuracy"], row["accuracy"] - half, row["accuracy"] + half)
    bold = f"**{shown}**" if row[column] == best and row["latency_status"] == "ok" and _counts(row, column) else shown
    return f"{bold} ◆" if metric == "accuracy" and row["pareto"] == 1 else bold


def _ratio(row: Row, reference: Row | None, notes: Footnotes) -> str:
    """How many times faster than the baseline, its interval, and a mark where the two were not interleaved."""
    if reference is None or missing(row["speedup"]):
        return ""
    if row["verdict"] == "baseline":
        return "1"
    apart = row["latency_session"] != reference["latency_session"]
    mark = notes.mark("measured in another session than the baseline, not interleaved with it") if apart else ""
    return f"{short(row['speedup'])}x{plus_minus(row['speedup'], row['speedup_lo'], row['speedup_hi'])}{mark}"


def _extent(row: Row) -> str:
    return "" if missing(row["kernel_height"]) else f"{row['kernel_height']:.0f}x{row['kernel_width']:.0f}"


def _spread(row: Row, notes: Footnotes) -> str:
    """The half-width of the interval in percent, and a mark for everything that the clock noticed."""
    seen = [DISTURBED[row["threads"] == 1]] if row["contended"] == 1 else []
    seen += [text for flag, text in FLAGS.items() if not missing(row[flag]) and row[flag] > 0]
    return plus_minus(row["latency_ms"], row["latency_lo_ms"], row["latency_hi_ms"]) + "".join(map(notes.mark, seen))


def dictionary() -> str:
    """The page that explains every column."""
    status = [
        Column("METRIC_status", "", "", "", "ok, or why the metric's columns are empty"),
        Column("METRIC_detail", "", "", "", "the reason in words"),
    ]
    return f"""\
# Columns of table.csv

One row a cell. An empty value was not measured; it is never a zero.

{explained([*COLUMNS, *status])}
# Columns of accuracy.csv

One row a training and resolution at which it was evaluated; the file is there where something was trained. What each epoch gave is
in journal.jsonl, in `rounds` of its record.

{explained(ACCURACIES)}"""


def explained(columns: Iterable[Column]) -> str:
    lines = [{"column": f"`{c.name}`", "unit": c.unit, "better": c.better, "meaning": c.meaning} for c in columns]
    return text_table(lines, left=("column", "unit", "better", "meaning"))
