"""An audit as text: experiments, results and verdict."""

from __future__ import annotations

from bench.runner.audit import FALSE, FOUND, TAU, TIMES, Audit


def page(audit: Audit, machine: str) -> str:
    """Return the audit as a markdown page."""
    return f"# Audit\n\n{machine}\n\n{text(audit)}\n"


def text(audit: Audit) -> str:
    """Return the results, one per line, and the verdict."""
    share = TIMES[1] / TIMES[0] - 1
    busy = f"{audit.load} core{'s' if audit.load > 1 else ''} kept busy by another process" if audit.load else "no added load"
    lines = [
        f"- Setting: {audit.setting}; {busy}; {audit.seconds:.0f} s.",
        f"- A method against itself: called faster or slower in {audit.false_positives} of {audit.trials} trials"
        f" (limit: at most {FALSE:.0%}).",
        f"- {share:.0%} more work: detected in {audit.found} of {audit.trials} trials (limit: at least {FOUND:.0%}),"
        f" called faster in {audit.wrong_way}.",
        f"- Half-width of a ratio's 95% interval: {audit.half_width:.1%} (median over trials).",
        f"- Latency of the same method between trials: standard deviation {audit.spread:.1%};"
        f" {audit.contended:.0%} of the trials report CPU time instead of wall time.",
        f"- Clean samples (no context switch): {audit.clean_share:.0%}.",
        f"- Two sweeps of {audit.methods} methods: Kendall's tau {audit.tau:.3f} of the ranks (limit: at least {TAU}),"
        f" {audit.tau_latency:.3f} of the latencies; median change of a latency {audit.sweep_spread:.1%},"
        f" of a ratio to the audited method {audit.ratio_spread:.1%}.",
    ]
    lines += [f"- Failed trials and methods: {audit.failed}."] if audit.failed else []
    return "\n".join([*lines, "", conclusion(audit)])


def conclusion(audit: Audit) -> str:
    """Return the verdict: are ratios, and are latencies, trustworthy today?"""
    spread = max(audit.spread, audit.sweep_spread)
    absolute = (
        f"Latencies repeat to about {spread:.1%}: a difference between two runs below {2 * spread:.0%} means nothing."
        if spread == spread
        else "The repeatability of latencies is unknown."
    )
    if audit.sound:
        ratios = f"Ratios of two operators repeat to about {audit.ratio_spread:.1%}." if audit.methods > 1 else ""
        return f"**Verdicts and ranks within one run are trustworthy on this machine today.** {ratios} {absolute}"
    wrong = [
        (audit.false_positives > FALSE * audit.trials, "too many false positives"),
        (audit.found < FOUND * audit.trials, "a difference of 5% is missed too often"),
        (audit.wrong_way > 0, "a slower operator was called faster"),
        (not audit.tau >= TAU, "two runs of one sweep rank differently, or rank nothing"),
        (audit.failed > 0, "trials or methods failed"),
    ]
    reasons = "; ".join(reason for applies, reason in wrong if applies)
    advice = "Stop other programs, or measure more rounds."
    return f"**Measurements on this machine are not trustworthy today**: {reasons}. {advice} {absolute}"
