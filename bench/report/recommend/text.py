"""A recommendation as text for a terminal and as JSON data."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tabulate import tabulate

from bench.axes import setting_text
from bench.report.leaderboard.ranking import CONTENDED
from bench.report.recommend.answer import Answer, Candidate, MachineAnswer, Query, suggested_command
from bench.report.recommend.limits import STATES
from bench.report.text import missing, plus_minus, points, short
from bench.spec import Record
from bench.tables import accuracy
from bench.tables.row import Row

HEADINGS = {
    "inconclusive": "Inconclusive, the interval crosses a limit",
    "violated": "A limit is violated",
    "not measured": "Not measured",
}
COLUMNS = ("method", "label", "run", "baseline", "latency_ms", "latency_lo_ms", "latency_hi_ms", "rounds", "mem_peak_bytes")
SPEEDS = ("speedup", "speedup_lo", "speedup_hi")


def text(answer: Answer, folder: Path, width: int) -> str:
    """Return the setting, the limits and the answer of each machine, or the command that would give one."""
    query = answer.query
    lines = [", ".join([setting_text(query.setting), *limits(query, tasks(answer))])]
    for machine in answer.machines:
        lines += ["", *_machine(machine, query, width)]
    if not answer.machines:
        lines += ["", f"{folder} has no measurement at this setting, and nothing is extrapolated."]
        lines += (
            ["Nearest measured settings:", *(f"  {setting_text(row.values)} ({row['run']})" for row in answer.nearest)]
            if answer.nearest
            else []
        )
    if query.min_accuracy is not None and set(answer.tasks) - {query.data}:
        lines += ["", textwrap.fill(f"Tasks with trained methods (--data): {', '.join(answer.tasks)}", width)]
    if answer.machines and not any(machine.here for machine in answer.machines):
        lines += ["", "Not measured on this machine."]
    command = suggested_command(answer, f"{folder}/local")
    return "\n".join([*lines, *(["", "To measure, run:", f"  {command}"] if command else [])])


def tasks(answer: Answer) -> str:
    """Return the task of the accuracies: the requested one, else those of the machines."""
    data = dict.fromkeys(accuracy.training(machine.trained).data for machine in answer.machines if machine.trained)
    return answer.query.data or " or ".join(data)


def limits(query: Query, task: str) -> Iterator[str]:
    """Yield the limits as text."""
    if query.max_latency_ms is not None:
        yield f"at most {short(query.max_latency_ms)} ms"
    if query.max_memory is not None:
        yield f"at most {short(query.max_memory / 1e6)} MB"
    if query.min_accuracy is not None:
        yield f"at least {query.min_accuracy:g}%" + (f" on {task}" if task else "")


def _machine(machine: MachineAnswer, query: Query, width: int) -> Iterator[str]:
    """Yield the answer of a machine: recommended methods, other methods within the limits, and why the rest is not."""
    env, device = machine.env, machine.device
    hardware = next((gpu for gpu in env.get("gpus", []) if device != "cpu"), env.get("cpu", "unknown"))
    timer = f", timed {machine.timer}" if device != "cpu" else ""
    yield f"{device}{timer}: {hardware}, environment {env['id']}{', same as this machine' if machine.here else ''}"
    best = machine.recommended
    others = [candidate for candidate in machine.in_state("satisfied") if candidate not in best]
    if best:
        tied = " (tied)" if len(best) > 1 else ""
        yield from ("", f"Recommended{tied}: {', '.join(candidate.label for candidate in best)}", "", _table(best + others))
    else:
        yield from ("", "No recommendation: no method is known to satisfy every limit.")
    if machine.trained:
        yield from ("", textwrap.fill(accuracy_note(machine.trained, query, env["id"]), width))
    for state in STATES[1:]:
        if candidates := machine.in_state(state):
            lines = (_wrapped(f"{candidate.label}: {reason(candidate)}", width) for candidate in candidates)
            yield from ("", f"{HEADINGS[state]}:", *lines)


def accuracy_note(trained: Record, query: Query, env: str) -> str:
    """Return how the training of the accuracies differs from the timed setting."""
    res = accuracy.training(trained).res
    size = "" if (res, res) == (query.setting["height"], query.setting["width"]) else f" at {res} px"
    other_env = "" if trained.env == env else f", environment {trained.env}"
    return f"Accuracies are those of a network with the operator{size}: protocol {accuracy.comparison_group(trained)}{other_env}."


def reason(candidate: Candidate) -> str:
    """Return the reasons for the state of a candidate."""
    return "; ".join(f"{check.what} {check.reason}" for check in candidate.checks if check.state == candidate.state)


def _wrapped(line: str, width: int) -> str:
    return textwrap.fill(line, width, initial_indent="  ", subsequent_indent="    ", break_long_words=False)


def _table(candidates: Sequence[Candidate]) -> str:
    """Return the measurements as a table with one line per method."""
    baselines = list(dict.fromkeys(candidate.row["baseline"] for candidate in candidates))  # runs may differ in their baseline
    lines = [_line(candidate, baselines) for candidate in candidates]
    filled = [name for name in lines[0] if any(line[name] for line in lines)]
    rows = [[line[name] for name in filled] for line in lines]
    align = ["left" if name in ("method", "measured", "note") else "right" for name in filled]
    return tabulate(rows, filled, "simple", disable_numparse=True, colalign=align)


def _line(candidate: Candidate, baselines: Sequence[str]) -> dict[str, str]:
    row, interval = candidate.row, candidate.accuracy
    day = datetime.fromtimestamp(row["latency_session"], UTC).date().isoformat()
    return {
        "method": candidate.label,
        "latency, ms": short(row["latency_ms"]) + plus_minus(row["latency_ms"], row["latency_lo_ms"], row["latency_hi_ms"]),
        **{f"vs {name}": _ratio(row) if row["baseline"] == name else "" for name in baselines},
        "memory, MB": "" if missing(row["mem_peak_bytes"]) else short(row["mem_peak_bytes"] / 1e6),
        "accuracy, %": points(*interval) if interval else "",
        "rounds": "" if missing(row["rounds"]) else f"{row['rounds']:.0f}",
        "measured": f"{row['run']}, {day}",
        "note": CONTENDED[row["threads"] == 1][0] if row["contended"] == 1 else "",
    }


def _ratio(row: Row) -> str:
    """Format the speedup over the baseline of the run."""
    if missing(row["speedup"]):
        return ""
    return "1" if row["verdict"] == "baseline" else f"{short(row['speedup'])}x{plus_minus(*(row[name] for name in SPEEDS))}"


def as_data(answer: Answer, folder: Path) -> dict[str, Any]:
    """Return the answer as JSON data."""
    return {
        "query": answer.query.as_data(),
        "machines": [_machine_data(machine) for machine in answer.machines],
        "nearest": [{name: row[name] for name in ("run", *answer.query.setting)} for row in answer.nearest],
        "run": suggested_command(answer, f"{folder}/local") or None,
    }


def _machine_data(machine: MachineAnswer) -> dict[str, Any]:
    return {
        "environment": dict(machine.env),
        "device": machine.device,
        "timer": machine.timer,
        "this_machine": machine.here,
        "accuracy_protocol": machine.comparison_group or None,
        "recommended": [candidate.label for candidate in machine.recommended],
        "candidates": [_candidate_data(candidate) for candidate in machine.candidates],
    }


def _candidate_data(candidate: Candidate) -> dict[str, Any]:
    values = {name: _json_value(candidate.row[name]) for name in (*COLUMNS, *SPEEDS)}
    interval = {"accuracy": list(map(_json_value, candidate.accuracy)) if candidate.accuracy else None}  # mean, lower, upper
    return values | interval | {"state": candidate.state, "limits": [asdict(check) for check in candidate.checks]}


def _json_value(value: Any) -> Any:
    return None if missing(value) else value
