"""Properties of the operators of one setting, in markdown: what they keep when the image moves, and of precision and resolution."""

from __future__ import annotations

from collections.abc import Iterable

from bench.report import text
from bench.report.text import Footnotes, code, missing, pixels, scientific
from bench.tables.cells import Row

SHOWN = {
    "shift, circular": "shift_error_circular",
    "shift, zeros": "shift_error_zero",
    "float64, largest": "error_fp64",
    "float64, rms": "error_fp64_rms",
    "twice the resolution": "resolution_error",
}
READING = """\
Properties: relative errors of the operators as initialised, 0 is perfect. *Shift*: the response to a moved image against the moved
response, round the borders or with zeros beyond them. *Float64*: the output against the same weights in double precision.
*Twice the resolution*: the response to one smooth image sampled at twice the resolution against that at this one, in the way of
meeting another size that keeps it best. What each is exactly: `python -m bench columns` and bench/metrics/properties.py.
"""


def table(rows: Iterable[Row]) -> list[str]:
    """What follows the rankings of a setting: text, a line a method and resolution, notes; nothing where none was measured."""
    measured = [row for row in rows if not missing(row["properties_status"])]
    if not measured:
        return []
    notes = Footnotes()
    lines = [_line(row, notes) for row in measured]
    return [READING, text.table(lines, left=("method", "way")), *notes.below()]


def _line(row: Row, notes: Footnotes) -> dict[str, str]:
    named = {"method": code(row["label"]), "px": pixels(row)}
    if row["properties_status"] != "ok":
        return named | {next(iter(SHOWN)): notes.failure(row["properties_status"], row["properties_detail"] or "no reason given")}
    why = "" if missing(row["properties_why"]) else notes.mark(row["properties_why"])
    cells = {heading: "none" + why if missing(row[name]) else scientific(row[name]) for heading, name in SHOWN.items()}
    return named | cells | {"way": "" if missing(row["resolution_way"]) else text.escape(row["resolution_way"])}
