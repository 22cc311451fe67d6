"""An A/B comparison of two methods: one group, interleaved rounds, and a verdict from the per-round ratios.

Background load affects both methods of a round, so their ratio is more precise than either latency. The verdict is faster or slower
only if the whole interval of the ratio lies outside a region of practical equivalence: 2% on a CPU, 1% on a GPU. The interval
covers the rounds of one pair of processes. Another pair, with other memory addresses, differs by about 1% for calls of 0.2 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.axes import setting_text
from bench.plan import protocol_of
from bench.report.text import plus_minus, short
from bench.spec import Cell, Job, Limits, Protocol, Record, Timing
from bench.stats import ratios
from bench.stats.ratios import Timed
from bench.stats.rounds import Interval, log_interval
from bench.system import ceilings

if TYPE_CHECKING:
    from bench.executors.process import Pool
    from bench.journal import Writer

CLOCKS = {
    "clean": "",
    "cpu": "CPU time is reported instead of wall time: other processes interrupted too many calls.",
    "wall": "Contended: other processes interrupted too many calls. CPU time cannot replace wall time with several threads.",
}
ROUNDS = 60  # per pair: more than twice as many as a sweep measures


class Trial(NamedTuple):
    """The result of an A/B comparison. `ratio` is the latency of B over that of A; `clock` is the clock of both.

    The verdict is on B: faster, slower, same, unclear, or failed if either has no latency.
    """

    records: tuple[Record, Record]
    ratio: Interval
    verdict: str
    clock: str


def trial(pool: Pool, sides: tuple[Cell, Cell], protocol: Protocol, limits: Limits) -> Trial:
    """Measure two cells in interleaved rounds. Raises ValueError if they are equal or differ in more than the method."""
    jobs = [Job(cell, "latency", protocol) for cell in sides]
    a, b = sides
    if a == b:
        raise ValueError(f"{a.label} against itself needs an alias for each side")
    if jobs[0].group() != jobs[1].group():
        raise ValueError(f"rounds of two settings cannot be paired: {setting_text(vars(a))}; {setting_text(vars(b))}")
    with closing(pool.execute(jobs, limits)) as ended:
        by_job = {record.job: record for record in ended}
    records = by_job[jobs[0]], by_job[jobs[1]]
    if any(record.status != "ok" for record in records):
        return Trial(records, ratios.UNKNOWN, "failed", "")
    timings = Timed.of(records[1]), Timed.of(records[0])
    ratio = ratios.ratio(*timings)
    return Trial(records, ratio, ratios.verdict(ratio, ratios.equivalence(a.device)), ratios.shared_clock(*timings))


def fixed_rounds(cell: Cell, timer: str, rounds: int) -> Timing:
    """Return a latency protocol with exactly that number of rounds: stopping early at a significant result biases a test."""
    protocol = protocol_of("latency", cell, timer)
    assert isinstance(protocol, Timing)
    return replace(protocol, rounds=rounds, max_rounds=rounds)


def latency(record: Record, clock: str) -> Interval:
    """Return the milliseconds per call by a clock: the median over rounds and its 95% interval."""
    return log_interval([ms for ms in record.rounds[clock] if ms])


def save(writer: Writer, records: Sequence[Record], env: dict[str, Any], facts: dict[str, Any]) -> None:
    """Append the records of a trial to a journal, as a run. `facts` are its command, its start, and the digests of all sources."""
    code = {record.job.cell.method: facts["code"][record.job.cell.method] for record in records}
    writer.env(env | {"ceilings": ceilings.load(env["id"])})
    writer.run(facts | {"env": env["id"], "commit": env["commit"], "baseline": "none", "jobs": len(records), "code": code})
    for record in records:
        job = replace(record.job, code=code[record.job.cell.method])
        writer.record(replace(record, job=job, env=env["id"], session=facts["started"]))


def text(result: Trial) -> str:
    """Return the trial as text for a terminal."""
    first = result.records[0]
    names = [replace(record.job.cell, alias="").label for record in result.records]
    width = max(map(len, names))
    lines = [setting_text(vars(first.job.cell))]
    for side, name, record in zip("AB", names, result.records):
        lines.append(f"{side}  {name:{width}}  {_measured(record, result.clock)}")
    if result.verdict == "failed":
        return "\n".join(lines)
    rounds = len(first.rounds[result.clock])
    mid, lo, hi = (f"{end:#.4g}" for end in result.ratio)  # differences of 1% matter here
    lines += [f"B / A {mid} [{lo}, {hi}] over {rounds} rounds", CLOCKS[result.clock], _sentence(result)]
    return "\n".join(filter(None, lines))


def _measured(record: Record, clock: str) -> str:
    """Return the latency of one side, or the reason for its absence."""
    if record.status != "ok":
        return f"{record.status}: {record.detail or 'no reason given'}"
    ms = latency(record, clock or ratios.shared_clock(Timed.of(record), Timed.of(record)))
    share = record.values["clean_share"]
    clean = f", {100 * share:.0f}% clean samples" if isinstance(share, int | float) else ""
    flags = [flag.replace("_", " ") for flag in ("launch_bound", "throttled") if record.values.get(flag)]
    return ", ".join([f"{short(ms.mid)} ms{plus_minus(*ms)}{clean}", *flags])


def _sentence(result: Trial) -> str:
    region = ratios.equivalence(result.records[0].job.cell.device)
    return {
        "faster": f"B is faster: the whole interval lies more than {region:.0%} below 1.",
        "slower": f"B is slower: the whole interval lies more than {region:.0%} above 1.",
        "same": f"The same: the whole interval lies within {1.5 * region:.1%} of 1.",
        "unclear": f"Unclear: the interval lies partly inside and partly outside {region:.0%} around 1; more --rounds narrow it.",
    }[result.verdict]
