"""Two methods side by side: one group, rounds interleaved, and a verdict from the ratios of rounds.

What disturbs a round disturbs both methods, so their ratio is known better than either latency. The verdict needs the whole
interval of the ratio to leave a region of practical equivalence: 2% on a CPU, 1% on a GPU. The interval covers the rounds of one
pair of processes; another pair, whose memory lies elsewhere, differs by about a percent where a call takes 0.2 ms.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from bench.names import setting_text
from bench.plan import protocol_of
from bench.report.text import plus_minus, short
from bench.spec import Cell, Job, Limits, Protocol, Record, Timing
from bench.stats import ratios as comparison
from bench.stats.rounds import Interval, log_interval

if TYPE_CHECKING:
    from bench.executors.process import Pool

CLOCKS = {
    "clean": "",
    "cpu": "Processor time stands in for the wall clock: other processes disturbed too many calls.",
    "wall": "Disturbed: other processes interrupted too many calls, and processor time says nothing of several threads.",
}


ROUNDS = 60  # of a pair: twice as many and more than a sweep gives each of its methods


class Trial(NamedTuple):
    """What came of two cells: `ratio` is the latency of B over that of A, `clock` the one by which both are read.

    The verdict is on B: faster, slower, same, unclear, or failed where either gave no figure.
    """

    records: tuple[Record, Record]
    ratio: Interval
    verdict: str
    clock: str


def trial(pool: Pool, a: Cell, b: Cell, protocol: Protocol, limits: Limits) -> Trial:
    """Measure two cells in interleaved rounds. Raises ValueError where they are equal, or differ in more than the method."""
    jobs = [Job(cell, "latency", protocol) for cell in (a, b)]
    if a == b:
        raise ValueError(f"{a.label} against itself needs an alias for each side")
    if jobs[0].group() != jobs[1].group():
        raise ValueError(f"rounds of two settings cannot be paired: {setting_text(a)}; {setting_text(b)}")
    with closing(pool.execute(jobs, limits)) as ended:
        found = {record.job: record for record in ended}
    one, other = found[jobs[0]], found[jobs[1]]
    if one.status != "ok" or other.status != "ok":
        return Trial((one, other), comparison.UNKNOWN, "failed", "")
    facts = comparison.timing_of(other), comparison.timing_of(one)
    ratio = comparison.ratio(*facts)
    verdict = comparison.verdict(ratio, comparison.equivalence(a.device))
    return Trial((one, other), ratio, verdict, comparison.shared_clock(*facts))


def fixed_rounds(cell: Cell, timer: str, rounds: int) -> Timing:
    """The protocol of latency with that number of rounds, however precise fewer would be: a stop at a lucky one biases a test."""
    protocol = protocol_of("latency", cell, timer)
    assert isinstance(protocol, Timing)
    return replace(protocol, rounds=rounds, max_rounds=rounds)


def latency(record: Record, clock: str) -> Interval:
    """Milliseconds of a call by a clock: median over rounds and 95% interval."""
    return log_interval([figure for figure in record.rounds[clock] if figure])


def text(result: Trial) -> str:
    """The trial in words."""
    one, other = result.records
    names = [replace(record.job.cell, alias="").label for record in (one, other)]
    width = max(map(len, names))
    lines = [setting_text(one.job.cell)]
    for side, name, record in zip("AB", names, result.records):
        lines.append(f"{side}  {name:{width}}  {_measured(record, result.clock)}")
    if result.verdict == "failed":
        return "\n".join(lines)
    rounds = len(one.rounds[result.clock])
    mid, lo, hi = (f"{end:#.4g}" for end in result.ratio)  # differences of a percent matter here
    lines += [f"B / A {mid} [{lo}, {hi}] over {rounds} rounds", CLOCKS[result.clock], _sentence(result)]
    return "\n".join(filter(None, lines))


def _measured(record: Record, clock: str) -> str:
    """The latency of one side, or why there is none."""
    if record.status != "ok":
        return f"{record.status}: {record.detail or 'no reason given'}"
    ms = latency(record, clock or comparison.shared_clock(comparison.timing_of(record), comparison.timing_of(record)))
    share = record.values["clean_share"]
    clean = f", {100 * share:.0f}% of calls undisturbed" if isinstance(share, int | float) else ""
    flags = [flag.replace("_", " ") for flag in ("launch_bound", "throttled") if record.values.get(flag)]
    return ", ".join([f"{short(ms.mid)} ms{plus_minus(*ms)}{clean}", *flags])


def _sentence(result: Trial) -> str:
    region = comparison.equivalence(result.records[0].job.cell.device)
    return {
        "faster": f"B is faster: the whole interval lies more than {region:.0%} below 1.",
        "slower": f"B is slower: the whole interval lies more than {region:.0%} above 1.",
        "same": f"The same: the whole interval lies within {1.5 * region:.1%} of 1.",
        "unclear": f"Unclear: the interval reaches both inside and outside of {region:.0%} around 1; more --rounds narrow it.",
    }[result.verdict]
