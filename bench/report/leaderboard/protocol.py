"""Text of a training protocol: everything that affects an accuracy except the method and the seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.axes import device_text
from bench.report.blocks import Code, Inline
from bench.spec import Record, Training
from bench.tables import accuracy

OFF = (0, "none", False)  # values of settings that are disabled
OPTIONAL = ("decay_all", "clip", "augment", "erase", "mixup", "cutmix", "smoothing", "ema", "channels_last")  # listed if enabled


def title(record: Record, data: str) -> str:
    """Return data, resolution, host network and device as text."""
    cell = record.job.cell
    host = f" in {network}" if (network := accuracy.host(cell)) else ""
    return f"{data} at {accuracy.training(record).res} px{host}, {device_text(cell.device, cell.threads)}"


def line(records: Sequence[Record]) -> Inline:
    """Return the name of the common protocol of the records, its settings, and the trivial accuracy."""
    known = [record.values for record in records if record.values.get("accuracy_floor") is not None]
    trivial = dict.fromkeys(f"{values['accuracy_floor']:.1f}% ({values['accuracy_floor_of']})" for values in known)
    suffix = f" Trivial accuracy: {', '.join(trivial)}." if trivial else ""
    settings = settings_text(accuracy.training(records[0]), _epochs(records))
    return "Protocol ", Code(accuracy.comparison_group(records[0])), f": {settings}{suffix}"


def _epochs(records: Sequence[Record]) -> str:
    """Return the number of trained epochs; a range if a time budget led to different numbers."""
    counts = sorted({int(count) for record in records if (count := record.values.get("accuracy_epochs"))})
    return " to ".join(f"{count}" for count in dict.fromkeys((counts[0], counts[-1]))) if counts else "none"


def settings_text(protocol: Training, epochs: str) -> str:
    """Return all settings except data and network; `epochs` is the number of epochs reached with a time budget."""
    rate = f"learning rate {protocol.lr[0]:g}"
    if len(protocol.lr) > 1:
        tried = ", ".join(f"{lr:g}" for lr in protocol.lr)
        rate = f"learning rate best of {tried} on the validation split after {_plural(protocol.search_epochs, 'epoch')} each"
    parts = [
        _plural(protocol.epochs, "epoch") if protocol.seconds is None else f"epochs within {protocol.seconds:g} s ({epochs})",
        f"batch {protocol.batch}",
        protocol.optimizer,
        rate,
        f"weight decay {protocol.weight_decay:g}",
        _schedule(protocol),
        *(_setting(name, value) for name in OPTIONAL if (value := getattr(protocol, name)) not in OFF),
        protocol.dtype,
    ]
    return ", ".join(parts) + "."


def _setting(name: str, value: Any) -> str:
    """Return the name of an enabled switch, else name and value."""
    return name.replace("_", " ") + ("" if value is True else f" {value}")


def _schedule(protocol: Training) -> str:
    steps = f" at {', '.join(map(str, protocol.milestones))}" if protocol.milestones else ""
    return f"{protocol.schedule} schedule{steps} after {_plural(protocol.warmup, 'epoch')} of warm-up"


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
