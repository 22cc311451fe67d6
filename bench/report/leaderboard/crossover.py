"""Where the Fourier form overtakes the direct one, in markdown: a table a run, a line a setting."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from bench.journal import Journal
from bench.names import device_text
from bench.report.text import Footnotes, environment, missing, pixels, plus_minus, short, table, whole
from bench.tables import crossover
from bench.tables.crossover import DIRECT, FOURIER

READING = f"""\
### from which kernel size on the Fourier form is faster

`{DIRECT}` and `{FOURIER}` are one operator in two forms. *Direct until*: the largest kernel size at which the direct form is
told to be faster. *Fourier from*: the smallest from which on the Fourier form is told to be faster at every measured size.
*Crossing*: where both would take as long, interpolated between the measured sizes around it as if the ratio of the two were smooth.
It need not be: between two sizes a library may leave its fast path, and the ratio jumps (in inference of torch on a CPU, through
oneDNN, about twentyfold between 13 and 15). Measured are the two columns before. *At the largest*: the direct form's latency over
the Fourier form's there.
"""


def sections(journal: Journal) -> Iterator[str]:
    """One table, where both forms were measured over kernel sizes."""
    found = sorted(crossover.rows(journal), key=lambda row: [row[name] for name in crossover.AXES] + [row["timer"]])
    if not found:
        return
    notes = Footnotes()
    yield READING
    envs = {row["env"] for row in found}
    yield table([_line(row, envs, notes) for row in found], left=("device", "dtype", "mode"))
    yield from notes.below()


def _line(row: crossover.Row, envs: Collection[str], notes: Footnotes) -> dict[str, str]:
    where = device_text(row["device"], row["threads"]) + environment(row["env"], envs)
    seed = f", seed {row['seed']}" if row["seed"] else ""
    timer = f", timed {row['timer']}" if row["device"] != "cpu" else ""
    mark = notes.mark(f"without the kernel sizes {row['failed']}") if row["failed"] else ""
    return {
        "device": f"{where}{timer}{seed}",
        "dtype": row["dtype"],
        "mode": row["mode"],
        "batch": f"{row['batch']}",
        "channels": f"{row['channels']}",
        "map, px": pixels(row),
        "kernels, px": (_range(row) or "none") + mark,
        "direct until": whole(row.get("direct_until")),
        "Fourier from": whole(row.get("fourier_from")),
        "crossing, px": _crossing(row),
        "at the largest": _largest(row),
    }


def _range(row: crossover.Row) -> str:
    return f"{row['kernel_min']} to {row['kernel_max']}" if "kernel_min" in row else ""


def _crossing(row: crossover.Row) -> str:
    """The crossing, or on which side of what was measured it must lie."""
    beyond = {"direct": f"above {row.get('kernel_max')}", "fourier": f"below {row.get('kernel_min')}"}
    return short(row.get("crossing")) or beyond.get(row.get("outcome", ""), "")


def _largest(row: crossover.Row) -> str:
    if missing(row.get("ratio_max")):
        return ""
    return f"{short(row['ratio_max'])}x{plus_minus(row['ratio_max'], row['ratio_max_lo'], row['ratio_max_hi'])}"
