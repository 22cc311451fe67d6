"""The leaderboard in markdown: one section a setting, one table a resolution, ranked, every failure in sight."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from bench.columns import METRICS, of
from bench.journal import Journal
from bench.names import threads_text
from bench.nets.published import IMAGENET
from bench.report.leaderboard import accuracy as learning
from bench.report.leaderboard import crossover, gallery, networks, properties
from bench.report.leaderboard.ranking import USUAL, ranking
from bench.report.leaderboard.view import ENDS, LIMITED, SPEED, View, tables, value
from bench.report.text import environment, escape, missing
from bench.tables import accuracy as learned
from bench.tables.cells import Row, complete_rows

BY_LATENCY = "Methods are ranked by latency; those that this run does not tell apart from the first of a place share it (=)."
READING = f"""\
{BY_LATENCY}
**Bold** is the best of a column among the methods that ran. *vs* a baseline is its latency over the method's, above 1 is faster:
the middle of the ratios of the rounds that both ran side by side, in this run on this machine. ± is half of the 95% interval over
rounds. *Kernel* is the spatial extent, for a learned size that of the initialisation. GFLOP counts Fourier transforms and complex
products as executed; GMAC is the direct form's multiply-adds as fvcore counts them, where an FFT is 0. Memory is the allocator's
peak above what was held before. Accuracy is top-1 on the task that a heading names, at its own resolution, ± half of the 95%
interval over seeds in points; only one that is told from its floor may be bold or on the Pareto front. *Published* figures are
those of the methods' own code.
[What every column means](README.md).

Tables of accuracy rank the methods of one protocol. Those that Welch's test does not tell apart from the first of a place, over
seeds and at 5%, share it (=): with one seed each all do. *vs floor* are points above what needs no look at what the task is about,
n.s. where seeds and the choice of test images explain them. A method of which a seed failed has no mean.
"""
TIES = dict.fromkeys(ENDS, "those whose 95% intervals overlap that of the first of a place") | {
    "accuracy": "those that Welch's test over seeds does not tell apart from the first of a place",
    LIMITED: "those whose rounds do not tell them apart from the first of a place",
}
NOISY = ("speedup_lo", "speedup_hi", "mem_rss_bytes", *of("latency"), *of("energy"), *of("accuracy"))  # most without an interval


def leaderboard(
    journals: Sequence[Journal],
    found: Sequence[list[Row]] | None = None,
    view: View = USUAL,
    figures: Mapping[str, Sequence[str]] | None = None,
    analyses: Sequence[str] = (),
) -> str:
    """The whole page, the newest run first.

    `found` are the journals' complete rows in this view, where they are made already. `figures` are the paths of each run's
    pictures and `analyses` those of other pages beside the runs, relative to this one.
    """
    made = zip(journals, found or [complete_rows(journal, view.baseline) for journal in journals])
    newest = sorted(made, key=lambda pair: -max((run["started"] for run in pair[0].runs), default=0))
    drawn = figures or {}
    parts = (part for journal, rows in newest for part in sections(journal, rows, view, drawn.get(journal.name, ())))
    return "\n".join(["# Leaderboard\n", *_notice(view), *contents(newest, analyses), reading(view), *parts])


def reading(view: View) -> str:
    """How to read the tables."""
    if view.sort == SPEED:
        return READING
    column = view.column
    unknown = "no interval of it is known: places are by the figure alone, and equal values"
    ties = TIES.get(view.sort, unknown if view.sort in NOISY else "equal values")
    ranked = f"Methods are ranked by `{column.name}` ({escape(column.meaning)}), the {column.better} the better"
    return READING.replace(BY_LATENCY, f"{ranked}; {ties} share a place (=).")


def _notice(view: View) -> list[str]:
    """That this is not the usual page, and how it is made."""
    if not view.options:
        return []
    made = f"`python -m bench report {view.options}`"
    return [f"> Not the usual page: made with {made}. Without options `python -m bench report` writes the usual one.\n"]


def contents(newest: Sequence[tuple[Journal, Sequence[Row]]], analyses: Sequence[str]) -> list[str]:
    """A link to each run with what it measured, and one to each page of analysis."""
    runs = [f"- [{escape(journal.name)}](#{anchor(journal.name)}): {_holds(journal, rows)}" for journal, rows in newest]
    links = ", ".join(f"[{escape(path.rpartition('/')[0])}]({quote(path)})" for path in analyses)
    return ["\n".join([*runs, *([f"- Analyses: {links}"] if links else []), ""])]


def anchor(heading: str) -> str:
    """What a heading is linked by."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _holds(journal: Journal, rows: Sequence[Row]) -> str:
    """What a run measured, in a few words."""
    shown = list(filter(measured, rows))
    kinds = {"op": "operators", "model": "networks"}
    parts = []
    for (level,), same in grouped(shown, "level").items():
        sides = sorted({max(value(row, "res")) for row in same})
        span = f"{sides[0]} px" if len(sides) == 1 else f"{sides[0]} to {sides[-1]} px"
        devices = ", ".join(sorted({row["device"] for row in same}))
        parts.append(f"{len({row['label'] for row in same})} {kinds[level]} at {span} on {devices}")
    tasks = dict.fromkeys(learned.training(record).data.partition("[")[0] for record in learned.trained(journal))
    return "; ".join([*parts, *([f"accuracy on {escape(', '.join(tasks))}"] if tasks else [])]) or "nothing"


def sections(journal: Journal, rows: Sequence[Row], view: View = USUAL, figures: Sequence[str] = ()) -> Iterator[str]:
    """One run: where and how it was measured, its pictures, then its settings."""
    yield f"## {journal.name}\n"
    yield from provenance(journal)
    yield from gallery.pictures(figures)
    trainings = set(map(networks.trained, learned.trained(journal)))
    envs = {row["env"] for row in rows}
    for section in grouped(filter(measured, rows), *view.split).values():
        yield heading(section, envs)
        if view.sort != SPEED:
            yield f"Ranked by `{view.sort}`, the {view.column.better} the better.\n"
        baseline = view.baseline or journal.baseline_of(section[0]["level"])
        for title, group in tables(filter(ranked, section), view):
            if title:
                yield f"#### {title}\n"
            yield from ranking(group, baseline, trainings, view, view.across(section))
        yield from properties.table(section)
    yield from crossover.sections(journal)
    yield from learning.sections(journal)


def ranked(row: Row) -> bool:
    """Whether a row holds more than what has tables of its own."""
    return any(not missing(row[f"{metric}_status"]) for metric in METRICS if metric not in ("accuracy", "properties"))


def measured(row: Row) -> bool:
    """Whether a row holds more than an accuracy, which has tables of its own."""
    return any(not missing(row[f"{metric}_status"]) for metric in METRICS if metric != "accuracy")


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


def heading(rows: Sequence[Row], envs: Collection[str] = ()) -> str:
    """What the rows of one section have in common; of several `envs` in a run also theirs."""
    key = rows[0]
    common = {axis for axis in ("threads", "dtype", "mode", "batch", "channels") if len({row[axis] for row in rows}) == 1}
    networked = f"networks of {IMAGENET} classes, {key['channels']} image channels"
    parts = {
        "threads": threads_text(key["threads"]) if key["device"] == "cpu" else "",
        "timer": "" if key["device"] == "cpu" or missing(key["timer"]) else f"timed {key['timer']}",
        "dtype": key["dtype"],
        "mode": {"infer": "inference", "train": "training step"}[key["mode"]],
        "batch": f"batch {key['batch']}",
        "channels": networked if key["level"] == "model" else f"{key['channels']} channels",
    }
    told = [text for axis, text in parts.items() if text and (axis in common or axis == "timer")]
    seed = [f"seed {key['seed']}"] if key["seed"] else []
    tasks = [task for task in grouped(rows, "accuracy_data", "accuracy_res") if not any(map(missing, task))]
    taught = "".join(f"; accuracy on {escape(data)} at {res:.0f} px" for data, res in tasks)
    return f"### {', '.join([key['device'], *told, *seed])}{environment(key['env'], envs)}{taught}\n"
