"""Crossover of the direct and the Fourier form: one table per run, one line per setting."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from bench.axes import device_text
from bench.journal import Journal
from bench.report.blocks import Block, Footnotes, Heading, Inline, Paragraph, Table, join
from bench.report.text import environment_suffix, missing, pixels, plus_minus, short, whole
from bench.tables import crossover
from bench.tables.crossover import DIRECT, FOURIER

HEADING = "kernel size from which the Fourier form is faster"
READING = f"""\
`{DIRECT}` and `{FOURIER}` are two implementations of one operator. *Direct until*: the largest kernel size at which the direct
form is significantly faster. *Fourier from*: the smallest kernel size from which the Fourier form is significantly faster at all
measured sizes. *Crossing*: the kernel size of equal latency, interpolated between measured sizes under the assumption that the
latency ratio is smooth. The ratio jumps if a library leaves its fast path between two sizes (about twentyfold between 13 and 15
for inference with torch and oneDNN on a CPU), so prefer the two measured columns. *At the largest*: latency of the direct form
over that of the Fourier form at the largest kernel size.
"""


def sections(journal: Journal) -> Iterator[Block]:
    """Yield heading, legend and table of a run, or nothing if the two forms were not measured over kernel sizes."""
    rows = sorted(crossover.rows(journal), key=lambda row: [row[name] for name in crossover.AXES] + [row["timer"]])
    if not rows:
        return
    notes = Footnotes()
    yield Heading(3, HEADING)
    yield Paragraph(prose=READING)
    envs = {row["env"] for row in rows}
    yield Table([_line(row, envs, notes) for row in rows], left=("device", "dtype", "mode"), notes=notes.texts)


def _line(row: crossover.Row, envs: Collection[str], notes: Footnotes) -> dict[str, Inline]:
    device = device_text(row["device"], row["threads"])
    seed = f", seed {row['seed']}" if row["seed"] else ""
    timer = f", timed {row['timer']}" if row["device"] != "cpu" else ""
    mark = notes.mark(f"failed kernel sizes: {row['failed']}") if row["failed"] else ""
    return {
        "device": join(device, environment_suffix(row["env"], envs), timer, seed),
        "dtype": row["dtype"],
        "mode": row["mode"],
        "batch": f"{row['batch']}",
        "channels": f"{row['channels']}",
        "map, px": pixels(row),
        "kernels, px": join(_range(row) or "none", mark),
        "direct until": whole(row.get("direct_until")),
        "Fourier from": whole(row.get("fourier_from")),
        "crossing, px": _crossing(row),
        "at the largest": _largest(row),
    }


def _range(row: crossover.Row) -> str:
    return f"{row['kernel_min']} to {row['kernel_max']}" if "kernel_min" in row else ""


def _crossing(row: crossover.Row) -> str:
    """Format the crossing, or the bound that the measured range implies."""
    beyond = {"direct": f"above {row.get('kernel_max')}", "fourier": f"below {row.get('kernel_min')}"}
    return short(row.get("crossing")) or beyond.get(row.get("outcome", ""), "")


def _largest(row: crossover.Row) -> str:
    if missing(row.get("ratio_max")):
        return ""
    return f"{short(row['ratio_max'])}x{plus_minus(row['ratio_max'], row['ratio_max_lo'], row['ratio_max_hi'])}"
