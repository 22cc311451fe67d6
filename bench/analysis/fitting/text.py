"""The page of kernel fitting: errors next to the published ones, and how to read them."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.analysis.fitting.targets import NJET, PUBLISHED_ZERO, TARGETS
from bench.report import markdown
from bench.report.blocks import Code, Footnotes, Inline, Paragraph, Table, join
from bench.report.text import missing, scientific, whole

BEST_STEP = """\
Each network is fitted separately to each target of 33 x 33 values with Adam, mean squared error, {steps} steps and float32. The
table shows the error of the best step{seeds}. In brackets is the error that FlexConv's authors published for a network of that
name (github.com/rjbruin/flexconv, ckernel_fitting/results, one seed). *constant* is the error of the best constant: a fit with a
similar error has learned nothing.
"""
LAST_STEP = """\
Error after the last step. Adam's steps do not shrink with the loss, so the error may increase again after its minimum.
"""
READING_NOTES = """\
How to read this:

- The published sizes of "small" and "big" are unknown, so errors of one name are comparable in order of magnitude only. Ours:
  small has about 300 parameters, big about 4,000 (FlexConv's own network: 32 features, 3 layers); NIFF's networks have the sizes
  of `niff` and `niff_big`; `weights` are 1,089 free parameters.
- Targets `gabor1` to `gabor64` are sin(f y) sin(f x) times a Gaussian of width 0.33 on [-1, 1]^2; their mean squares agree with
  those that the published PSNR imply. At f = 64 radians per unit the target is aliased. `noise` is uniform on [0, 1]; the
  published draw differs. `edge` replaces the first filter of AlexNet, which is not available: a Gabor function at 30 degrees whose
  negative part has the same mean square.
- Filter networks are initialised with frequency scale 256 and windows anywhere, as in the published fits; FlexConv's layer uses
  25.6 and windows near the centre.
- NIFF's networks represent a spectrum, and the kernel is its inverse transform: a kernel that is narrow has a wide spectrum and
  vice versa. The noise needs a spectrum of about 500 at frequency 0 and about 10 at the other frequencies.
- Errors below about 1e-12 are rounding. The figures show the kernels after the last step.
"""


def page(fits: pd.DataFrame) -> str:
    """Return the markdown page of the table of fits."""
    seeds = fits["seed"].nunique()
    suffix = f" (median over {seeds} seeds)" if seeds > 1 else ""
    intro = BEST_STEP.format(steps=f"{fits['steps'].max():,}", seeds=suffix)
    notes = Footnotes()
    best = [*error_lines(fits, "mse_best", notes), *reference_lines(fits, notes)]
    last = list(error_lines(fits, "mse", notes))
    first = Paragraph(prose=intro), Table(best, left=("net",))
    second = Paragraph(prose=LAST_STEP), Table(last, left=("net",), notes=notes.texts)
    return markdown.document([*first, *second, Paragraph(prose=READING_NOTES)])


def error_lines(fits: pd.DataFrame, column: str, notes: Footnotes) -> Iterator[dict[str, Inline]]:
    """Yield one line per network and learning rate, with one cell per target."""
    targets = dict.fromkeys(fits["target"])
    for (net, lr), rows in fits.groupby(["net", "lr"], sort=False):
        cells = {target: _cell(rows[rows["target"] == target], column, notes) for target in targets}
        yield {"net": Code(net), "learning rate": f"{lr:g}", "params": whole(rows["params"].iloc[0]), **cells}


def reference_lines(fits: pd.DataFrame, notes: Footnotes) -> Iterator[dict[str, Inline]]:
    """Yield the lines of the references that are not fitted: the best constant, and the published errors of N-Jet."""
    targets = dict.fromkeys(fits["target"])
    constant = fits.groupby("target")["target_variance"].first()
    yield {"net": "constant", "params": "1", **{target: format_error(constant[target]) for target in targets}}
    note = notes.mark("published only: Gaussian derivatives, the best order for each target; the filter of AlexNet at 11 x 11")
    njet = dict(zip(TARGETS, NJET))
    yield {"net": join("N-Jet", note), **{target: f"({format_error(njet[target])})" for target in targets}}


def _cell(rows: pd.DataFrame, column: str, notes: Footnotes) -> Inline:
    """Format the median error over seeds, or the status if one failed; with the published error for the best step."""
    failed = rows[rows["status"] != "ok"]
    reference = rows["published_mse"].iloc[0]
    suffix = "" if column == "mse" or missing(reference) else f" ({format_error(reference)})"
    if len(failed):
        return join(notes.failure(failed["status"].iloc[0], failed["detail"].iloc[0]), suffix)
    return format_error(rows[column].median()) + suffix


def format_error(value: float) -> str:
    """Format with two digits and a power of ten; an error published as zero as its upper bound."""
    return "< 5e-9" if value == PUBLISHED_ZERO else scientific(value)
