"""The page on kernel fitting: errors beside the published ones, and how to read them."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.analysis.fitting.targets import BOUND, NJET, TARGETS
from bench.report.text import Footnotes, code, missing, scientific, table, whole

READING = """\
Each network is fitted alone to each target of 33 x 33 values: Adam, mean squared error, {steps} steps, float32. Shown is the error
of the best step{seeds}, as FlexConv's authors published it for a network of that name: theirs in brackets
(github.com/rjbruin/flexconv, ckernel_fitting/results, one seed). *Constant* is the error of the best constant: a fit near it has
learned nothing.
"""
LAST = """\
After the last step. Adam's steps do not shrink with the loss, so that a fit may leave what it had reached.
"""
CAUTIONS = """\
How to read this:

- Published sizes of "small" and "big" are not known: errors of one name compare in order of magnitude only. Ours: small has about
  300 parameters, big about 4,000 (FlexConv's own net: 32 features, 3 layers); NIFF's are its own two; `weights` are 1,089 free
  values.
- Targets `gabor1` to `gabor64` are sin(f y) sin(f x) times a Gaussian of width 0.33 on [-1, 1]^2: their mean squares agree with
  what the published PSNR imply. At f = 64 radians a unit the grid shows an alias. `noise` is uniform on [0, 1]; the published draw
  is another. `edge` stands for the first filter of AlexNet, which is not at hand: a Gabor function at 30 degrees, equally strong.
- Filter networks begin with frequency scale 256 and windows anywhere, as in the published fits; FlexConv's layer begins with 25.6
  and windows near the centre.
- NIFF's networks give a spectrum, and the kernel is its inverse transform: what is narrow in one is wide in the other. The noise
  asks for a spectrum of about 500 at frequency 0 and 10 beside it.
- Errors below about 1e-12 are rounding. The pictures show the kernels after the last step.
"""


def page(found: pd.DataFrame) -> str:
    """The text of the analysis."""
    seeds = found["seed"].nunique()
    over = f" (median over {seeds} seeds)" if seeds > 1 else ""
    reading = READING.format(steps=f"{found['steps'].max():,}", seeds=over)
    notes = Footnotes()
    best = [*errors(found, "mse_best", notes), *yardsticks(found, notes)]
    last = list(errors(found, "mse", notes))
    return "\n".join([reading, table(best, left=("net",)), LAST, table(last, left=("net",)), *notes.below(), CAUTIONS])


def errors(found: pd.DataFrame, column: str, notes: Footnotes) -> Iterator[dict[str, str]]:
    """A line a network and learning rate, a column a target."""
    targets = dict.fromkeys(found["target"])
    for (net, lr), rows in found.groupby(["net", "lr"], sort=False):
        cells = {target: _cell(rows[rows["target"] == target], column, notes) for target in targets}
        yield {"net": code(net), "learning rate": f"{lr:g}", "params": whole(rows["params"].iloc[0]), **cells}


def yardsticks(found: pd.DataFrame, notes: Footnotes) -> Iterator[dict[str, str]]:
    """The lines of what is compared with but not fitted here."""
    targets = dict.fromkeys(found["target"])
    constant = found.groupby("target")["target_variance"].first()
    yield {"net": "constant", "params": "1", **{target: shown(constant[target]) for target in targets}}
    note = notes.mark("published only: Gaussian derivatives, the best order for each target; the filter of AlexNet at 11 x 11")
    theirs = dict(zip(TARGETS, NJET))
    yield {"net": f"N-Jet{note}", **{target: f"({shown(theirs[target])})" for target in targets}}


def _cell(rows: pd.DataFrame, column: str, notes: Footnotes) -> str:
    """The median error of a network's seeds, or the status where one failed; beside the best step's the published one."""
    failed = rows[rows["status"] != "ok"]
    theirs = rows["published_mse"].iloc[0]
    beside = "" if column == "mse" or missing(theirs) else f" ({shown(theirs)})"
    if len(failed):
        return notes.failure(failed["status"].iloc[0], failed["detail"].iloc[0]) + beside
    return shown(rows[column].median()) + beside


def shown(value: float) -> str:
    """Two digits and a power of ten; the bound that stands for a published zero as such."""
    return "< 5e-9" if value == BOUND else scientific(value)
