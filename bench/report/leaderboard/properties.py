"""Properties of the operators of one setting: shift equivariance, numerical error, change of resolution."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bench.report.blocks import Block, Code, Footnotes, Inline, Paragraph, Table, join
from bench.report.text import missing, pixels, scientific
from bench.tables.row import Row

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


def section(rows: Iterable[Row]) -> Iterator[Block]:
    """Yield legend and table of the properties of a setting; nothing if none was measured."""
    measured = [row for row in rows if not missing(row["properties_status"])]
    if measured:
        notes = Footnotes()
        yield Paragraph(prose=READING)
        yield Table([_line(row, notes) for row in measured], left=("method", "way"), notes=notes.texts)


def _line(row: Row, notes: Footnotes) -> dict[str, Inline]:
    first: dict[str, Inline] = {"method": Code(row["label"]), "px": pixels(row.values)}
    if row["properties_status"] != "ok":
        return first | {
            next(iter(HEADINGS)): notes.failure(row["properties_status"], row["properties_detail"] or "no reason given")
        }
    mark = "" if missing(row["properties_why"]) else notes.mark(row["properties_why"])
    cells = {heading: join("none", mark) if missing(row[name]) else scientific(row[name]) for heading, name in HEADINGS.items()}
    return first | cells | {"way": "" if missing(row["resolution_way"]) else row["resolution_way"]}
