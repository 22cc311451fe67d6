"""The protocol of an accuracy in words: all that bears on the figure but the method and the seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.names import device_text
from bench.report.text import code, escape
from bench.spec import Record, Training
from bench.tables import accuracy as learned

PLAIN = (0, "none", False)  # settings that change nothing
SPECIAL = ("decay_all", "clip", "augment", "erase", "mixup", "cutmix", "smoothing", "ema", "channels_last")  # told where set


def title(record: Record, data: str) -> str:
    """The data, the resolution, the network around the operators and the device."""
    cell = record.job.cell
    host = f" in {network}" if (network := learned.host(cell)) else ""
    return escape(f"{data} at {learned.training(record).res} px{host}, {device_text(cell.device, cell.threads)}")


def line(records: Sequence[Record]) -> str:
    """The name of the protocol that records have in common, its settings, and the floor."""
    known = [r.values for r in records if r.values.get("accuracy_floor") is not None]
    floors = dict.fromkeys(f"{values['accuracy_floor']:.1f}% ({values['accuracy_floor_of']})" for values in known)
    floor = f" Floor: {', '.join(floors)}." if floors else ""
    settings = described(learned.training(records[0]), _epochs(records))
    return f"Protocol {code(learned.comparison_group(records[0]))}: {escape(settings + floor)}"


def _epochs(records: Sequence[Record]) -> str:
    """How many were trained, for a budget of seconds from the fewest to the most."""
    counts = sorted({int(count) for record in records if (count := record.values.get("accuracy_epochs"))})
    return " to ".join(f"{count}" for count in dict.fromkeys((counts[0], counts[-1]))) if counts else "none"


def described(protocol: Training, epochs: str) -> str:
    """Every setting but the data and the network; `epochs` is what a budget of seconds came to."""
    rate = f"learning rate {protocol.lr[0]:g}"
    if len(protocol.lr) > 1:
        tried = ", ".join(f"{lr:g}" for lr in protocol.lr)
        rate = f"learning rate the best of {tried} on the validation part after {_plural(protocol.search_epochs, 'epoch')} each"
    parts = [
        _plural(protocol.epochs, "epoch") if protocol.seconds is None else f"epochs that fit {protocol.seconds:g} s ({epochs})",
        f"batch {protocol.batch}",
        protocol.optimizer,
        rate,
        f"weight decay {protocol.weight_decay:g}",
        _schedule(protocol),
        *(_setting(name, value) for name in SPECIAL if (value := getattr(protocol, name)) not in PLAIN),
        protocol.dtype,
    ]
    return ", ".join(parts) + "."


def _setting(name: str, value: Any) -> str:
    """The name of a switch that is on, else name and value."""
    return name.replace("_", " ") + ("" if value is True else f" {value}")


def _schedule(protocol: Training) -> str:
    steps = f" at {', '.join(map(str, protocol.milestones))}" if protocol.milestones else ""
    return f"{protocol.schedule} schedule{steps} after {_plural(protocol.warmup, 'epoch')} of warm-up"


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
