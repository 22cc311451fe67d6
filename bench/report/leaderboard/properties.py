"""Properties of the operators of one setting in markdown: shift equivariance, numerical error, change of resolution."""

from __future__ import annotations

from collections.abc import Iterable

from bench.report import text
from bench.report.text import Footnotes, code, missing, pixels, scientific
from bench.tables.cells import Row

HEADINGS = {
    "shift, circular": "shift_error_circular",
    "shift, zeros": "shift_error_zero",
    "float64, largest": "error_fp64",
    "float64, rms": "error_fp64_rms",
    "twice the resolution": "resolution_error",
}
READING = """\
Properties: relative errors of the operators at initialisation, 0 is exact. *Shift*: the response to a shifted image against the
shifted response, for circular shifts and for shifts with zero padding. *Float64*: the output against the output in double
precision with the same weights. *Twice the resolution*: the response to a smooth image sampled at twice the resolution against
that at this resolution, with the adaptation to another size (*way*) of the smallest error. Definitions: `python -m bench columns`
and bench/metrics/properties.py.
"""


def table(rows: Iterable[Row]) -> list[str]:
    """Return legend, table and footnotes of the properties of a setting; nothing if none was measured."""
    measured = [row for row in rows if not missing(row["properties_status"])]
    if not measured:
        return []
    notes = Footnotes()
    lines = [_line(row, notes) for row in measured]
    return [READING, text.table(lines, left=("method", "way")), *notes.below()]


def _line(row: Row, notes: Footnotes) -> dict[str, str]:
    first = {"method": code(row["label"]), "px": pixels(row)}
    if row["properties_status"] != "ok":
        return first | {
            next(iter(HEADINGS)): notes.failure(row["properties_status"], row["properties_detail"] or "no reason given")
        }
    mark = "" if missing(row["properties_why"]) else notes.mark(row["properties_why"])
    cells = {heading: "none" + mark if missing(row[name]) else scientific(row[name]) for heading, name in HEADINGS.items()}
    return first | cells | {"way": "" if missing(row["resolution_way"]) else text.escape(row["resolution_way"])}
