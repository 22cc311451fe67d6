"""What is recommended, as a reader sees it on a terminal and as programs read it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tabulate import tabulate

from bench import names
from bench.report.leaderboard.ranking import DISTURBED
from bench.report.recommend.answer import Answer, Candidate, MachineAnswer, Query, missing_run
from bench.report.recommend.limits import STATES
from bench.report.text import missing, pixels, plus_minus, points, short
from bench.spec import Record
from bench.tables import accuracy as learned
from bench.tables.cells import Row

HEADS = {
    "unclear": "Unclear, the interval crosses a limit",
    "broken": "Outside a limit",
    "unknown": "Without a figure",
}
FACTS = ("method", "label", "run", "baseline", "latency_ms", "latency_lo_ms", "latency_hi_ms", "rounds", "mem_peak_bytes")
SPEEDS = ("speedup", "speedup_lo", "speedup_hi")


def text(answer: Answer, folder: Path, width: int) -> str:
    """The setting and the limits, then each machine's answer; or what must be run."""
    wish = answer.wish
    lines = [", ".join([setting(wish), *limits(wish, tasks(answer))])]
    for place in answer.places:
        lines += ["", *_place(place, wish, width)]
    if not answer.places:
        lines += ["", f"Nothing was measured at this setting in {folder}, and nothing is extrapolated."]
        lines += ["Nearest settings measured:", *(f"  {_where(row)}" for row in answer.nearest)] if answer.nearest else []
    if wish.min_accuracy is not None and set(answer.tasks) - {wish.data}:
        lines += ["", textwrap.fill(f"Tasks that were trained on (--data): {', '.join(answer.tasks)}", width)]
    if answer.places and not any(place.here for place in answer.places):
        lines += ["", "Not measured on this machine."]
    todo = missing_run(answer, f"{folder}/local")
    return "\n".join([*lines, *(["", "To find out, run:", f"  {todo}"] if todo else [])])


def setting(wish: Query) -> str:
    """The wanted setting in words."""
    where = names.device_text(wish.device, wish.threads) if wish.device else names.threads_text(wish.threads)
    return f"{pixels(vars(wish))} px, {wish.channels} channels, batch {wish.batch}, {wish.dtype}, {names.MODES[wish.mode]}, {where}"


def tasks(answer: Answer) -> str:
    """The tasks of the accuracies: the one that was asked for, else what each machine's are of."""
    found = dict.fromkeys(learned.training(one.trained).data for one in answer.places if one.trained)
    return answer.wish.data or " or ".join(found)


def limits(wish: Query, task: str) -> Iterator[str]:
    """The limits in words."""
    if wish.max_latency_ms is not None:
        yield f"at most {short(wish.max_latency_ms)} ms"
    if wish.max_memory is not None:
        yield f"at most {short(wish.max_memory / 1e6)} MB"
    if wish.min_accuracy is not None:
        yield f"at least {wish.min_accuracy:g}%" + (f" on {task}" if task else "")


def _where(row: Row) -> str:
    """The setting of a row in words."""
    same = {name: row[name] for name in ("height", "width", "channels", "batch", "dtype", "mode", "threads", "device")}
    return f"{setting(Query(**same))} ({row['run']})"


def _place(place: MachineAnswer, wish: Query, width: int) -> Iterator[str]:
    """A machine's answer: what it recommends, what else keeps the limits, and why the others do not."""
    machine = next((gpu for gpu in place.env.get("gpus", []) if place.device != "cpu"), place.env.get("cpu", "unknown"))
    timer = f", timed {place.timer}" if place.device != "cpu" else ""
    yield f"{place.device}{timer}: {machine}, environment {place.env['id']}{', a machine like this one' if place.here else ''}"
    best = place.recommended
    others = [one for one in place.standing("kept") if one not in best]
    if best:
        told = " (not told apart)" if len(best) > 1 else ""
        yield from ("", f"Recommended{told}: {', '.join(one.label for one in best)}", "", _table(best + others))
    else:
        yield from ("", "Nothing is recommended: no method is known to keep every limit.")
    if place.trained:
        yield from ("", textwrap.fill(foreign(place.trained, wish, place.env["id"]), width))
    for state in STATES[1:]:
        if found := place.standing(state):
            yield from ("", f"{HEADS[state]}:", *(_wrapped(f"{one.label}: {reason(one)}", width) for one in found))


def foreign(trained: Record, wish: Query, env: str) -> str:
    """What the accuracies are of, as far as it is something else than the operator that was timed."""
    res = learned.training(trained).res
    size = "" if (res, res) == (wish.height, wish.width) else f" at {res} px"
    elsewhere = "" if trained.env == env else f", environment {trained.env}"
    return f"Accuracies are of a network with the operator inside{size}: protocol {learned.comparison_group(trained)}{elsewhere}."


def reason(candidate: Candidate) -> str:
    """Why a method is where it is."""
    return "; ".join(f"{check.what} {check.reason}" for check in candidate.checks if check.state == candidate.state)


def _wrapped(line: str, width: int) -> str:
    return textwrap.fill(line, width, initial_indent="  ", subsequent_indent="    ", break_long_words=False)


def _table(candidates: Sequence[Candidate]) -> str:
    """The evidence: a line a method."""
    baselines = list(dict.fromkeys(one.row["baseline"] for one in candidates))  # of several runs
    lines = [_line(one, baselines) for one in candidates]
    filled = [name for name in lines[0] if any(line[name] for line in lines)]
    rows = [[line[name] for name in filled] for line in lines]
    align = ["left" if name in ("method", "measured", "note") else "right" for name in filled]
    return tabulate(rows, filled, "simple", disable_numparse=True, colalign=align)


def _line(candidate: Candidate, baselines: Sequence[str]) -> dict[str, str]:
    row, learnt = candidate.row, candidate.accuracy
    day = datetime.fromtimestamp(row["latency_session"], UTC).date().isoformat()
    return {
        "method": candidate.label,
        "latency, ms": short(row["latency_ms"]) + plus_minus(row["latency_ms"], row["latency_lo_ms"], row["latency_hi_ms"]),
        **{f"vs {name}": _ratio(row) if row["baseline"] == name else "" for name in baselines},
        "memory, MB": "" if missing(row["mem_peak_bytes"]) else short(row["mem_peak_bytes"] / 1e6),
        "accuracy, %": points(*learnt) if learnt else "",
        "rounds": "" if missing(row["rounds"]) else f"{row['rounds']:.0f}",
        "measured": f"{row['run']}, {day}",
        "note": DISTURBED[row["threads"] == 1].partition(":")[0] if row["contended"] == 1 else "",
    }


def _ratio(row: Row) -> str:
    """How many times faster than the run's baseline."""
    if missing(row["speedup"]):
        return ""
    return "1" if row["verdict"] == "baseline" else f"{short(row['speedup'])}x{plus_minus(*(row[name] for name in SPEEDS))}"


def as_data(answer: Answer, folder: Path) -> dict[str, Any]:
    """The answer for programs."""
    return {
        "wish": asdict(answer.wish),
        "places": [_place_data(place) for place in answer.places],
        "nearest": [{name: row[name] for name in ("run", *asdict(answer.wish)) if name in row} for row in answer.nearest],
        "run": missing_run(answer, f"{folder}/local") or None,
    }


def _place_data(place: MachineAnswer) -> dict[str, Any]:
    return {
        "environment": dict(place.env),
        "device": place.device,
        "timer": place.timer,
        "this_machine": place.here,
        "accuracy_protocol": place.contest or None,
        "recommended": [one.label for one in place.recommended],
        "candidates": [_candidate_data(one) for one in place.candidates],
    }


def _candidate_data(candidate: Candidate) -> dict[str, Any]:
    facts = {name: None if missing(candidate.row[name]) else candidate.row[name] for name in (*FACTS, *SPEEDS)}
    learnt = {"accuracy": list(map(_plain, candidate.accuracy)) if candidate.accuracy else None}  # middle, lower and upper end
    return facts | learnt | {"state": candidate.state, "limits": [asdict(check) for check in candidate.checks]}


def _plain(value: float) -> float | None:
    return None if missing(value) else value
