"""An audit in words: what was tried, what came out, and whether to trust the machine's figures."""

from __future__ import annotations

from bench.runner.audit import FALSE, FOUND, TAU, TIMES, Audit


def page(audit: Audit, machine: str) -> str:
    """The audit as markdown."""
    return f"# Audit\n\n{machine}\n\n{text(audit)}\n"


def text(audit: Audit) -> str:
    """The findings, one a line, and the conclusion."""
    share = TIMES[1] / TIMES[0] - 1
    busy = (
        f"{audit.load} core{'s' if audit.load > 1 else ''} kept busy by another process"
        if audit.load
        else "no load of our own beside"
    )
    lines = [
        f"- Setting: {audit.setting}; {busy}; {audit.seconds:.0f} s.",
        f"- A method against itself: called faster or slower in {audit.false_positives} of {audit.trials} trials"
        f" (at most {FALSE:.0%} is sound).",
        f"- {share:.0%} more work: found in {audit.found} of {audit.trials} trials (at least {FOUND:.0%} is sound),"
        f" called faster in {audit.wrong_way}.",
        f"- Half-width of a ratio's interval: {audit.half_width:.1%} in the median trial.",
        f"- From run to run the latency of the same method spreads by {audit.spread:.1%} (standard deviation over sessions);"
        f" processor time stood in for {audit.contended:.0%} of the figures.",
        f"- Calls that nothing interrupted: {audit.clean_share:.0%}.",
        f"- Two sweeps of {audit.methods} methods: Kendall's tau of the places {audit.tau:.3f} (at least {TAU}), of the latencies"
        f" {audit.tau_latency:.3f}; the median method's latency differs by {audit.sweep_spread:.1%},"
        f" its ratio to the audited method by {audit.ratio_spread:.1%}.",
    ]
    lines += [f"- Failed trials and methods: {audit.failed}."] if audit.failed else []
    return "\n".join([*lines, "", conclusion(audit)])


def conclusion(audit: Audit) -> str:
    """Whether ratios, and whether latencies, can be trusted today."""
    spread = max(audit.spread, audit.sweep_spread)
    absolute = (
        f"A latency repeats to about {spread:.1%}: do not read more into the difference of two runs than {2 * spread:.0%}."
        if spread == spread
        else "Nothing is known of how a latency repeats."
    )
    if audit.sound:
        ratios = f"A ratio of different operators repeats to about {audit.ratio_spread:.1%}." if audit.methods > 1 else ""
        return f"**Verdicts and places within one run can be trusted on this machine today.** {ratios} {absolute}"
    wrong = [
        (audit.false_positives > FALSE * audit.trials, "equal methods are called different too often"),
        (audit.found < FOUND * audit.trials, "a real difference of 5% is missed too often"),
        (audit.wrong_way > 0, "a slower operator was called faster"),
        (not audit.tau >= TAU, "two runs of one sweep rank differently, or nothing was ranked"),
        (audit.failed > 0, "trials or methods failed"),
    ]
    reasons = "; ".join(reason for holds, reason in wrong if holds)
    advice = "Stop what else runs on it, or ask for more rounds."
    return f"**This machine's figures cannot be trusted today**: {reasons}. {advice} {absolute}"
