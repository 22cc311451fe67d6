"""The axes of a sweep. Options, cells, columns, headings, file names and queries read this one table.

An axis is an option of `run`, `ab` and `recommend`, one or two fields of `bench.spec.Cell`, and the columns of the same names. A
new axis is an entry here and a field of `Cell` with a default.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bench.kinds import DEVICE, NATURAL, POSITIVE, RESOLUTION, Kind, choice

MODES = {"infer": "inference", "train": "training step"}
IMAGENET_CLASSES = 1000  # of a network whose cost is measured, as in the papers
Setting = Mapping[str, Any]  # the fields of a cell, or a row of a table


@dataclass(frozen=True)
class Axis:
    """An axis of a sweep. The texts are those of one setting; an empty text is omitted."""

    name: str
    kind: Kind
    default: tuple[Any, ...]  # values of a sweep that sets none; empty: required
    help: str
    meaning: Mapping[str, str]  # column -> its meaning; the columns are the fields of a cell
    text: Callable[[Setting], str]  # in headings
    short: Callable[[Setting], str]  # in progress lines and file names
    unit: str = ""
    splits: bool = True  # may split the tables of a report; the device and the seed always do

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.meaning)

    def fields(self, value: Any) -> dict[str, Any]:
        """Return the fields of a cell for a value of the axis."""
        return dict(zip(self.columns, value if len(self.columns) > 1 else (value,)))

    def value(self, setting: Setting) -> Any:
        """Return the value of a setting: a tuple if the axis has several columns."""
        values = tuple(setting[name] for name in self.columns)
        return values if len(values) > 1 else values[0]


def threads_text(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def device_text(device: str, threads: int) -> str:
    """Return the device, a CPU with its number of threads."""
    return f"{device}, {threads_text(threads)}" if device == "cpu" else device


def size_text(setting: Setting, times: str = "x") -> str:
    """Return height and width: one number for a square."""
    height, width = setting["height"], setting["width"]
    return f"{height:.0f}" if height == width else f"{height:.0f}{times}{width:.0f}"


def _on_cpu(setting: Setting) -> bool:
    return setting["device"] in ("cpu", None)


def _threads_text(setting: Setting) -> str:
    """Return the threads of a CPU; for any device those on a CPU."""
    if not _on_cpu(setting):
        return ""
    return threads_text(setting["threads"]) + ("" if setting["device"] else " on a CPU")


def _of_network(setting: Setting) -> bool:
    return bool(setting.get("level") == "model")


def _gpu_timer(setting: Setting) -> str:
    """Return the timer of a latency on a GPU; on a CPU there is one timer only."""
    timer = setting.get("timer")
    return timer if isinstance(timer, str) and not _on_cpu(setting) else ""


def _device_text(setting: Setting) -> str:
    timer = _gpu_timer(setting)
    return (setting["device"] or "any device") + (f", timed {timer}" if timer else "")


def _channels_text(setting: Setting) -> str:
    if not _of_network(setting):
        return f"{setting['channels']} channels"
    if not setting["channels"]:  # an accuracy: the data set decides
        return "networks"
    return f"networks with {IMAGENET_CLASSES} classes, {setting['channels']} image channels"


AXES: tuple[Axis, ...] = (  # in the order in which a setting is written, and a sweep proceeds: the first axis varies slowest
    Axis(
        "device", DEVICE, ("auto",), "auto, cpu, cuda or cuda:i.", {"device": "cpu or cuda:i"},
        text=_device_text,
        short=lambda setting: " ".join(filter(None, (setting["device"], _gpu_timer(setting)))),
        splits=False,
    ),
    Axis(
        "threads", POSITIVE, (1,), "CPU threads.", {"threads": "CPU threads"},
        text=_threads_text,
        short=lambda setting: threads_text(setting["threads"]).replace(" ", "-") if _on_cpu(setting) else "",
    ),
    Axis(
        "dtype", choice("fp32", "bf16"), ("fp32",), "fp32 or bf16 (autocast).",
        {"dtype": "fp32, or bf16 (float32 weights under bfloat16 autocast)"},
        text=lambda setting: setting["dtype"],
        short=lambda setting: setting["dtype"],
    ),
    Axis(
        "mode", choice(*MODES), ("infer",), "infer, or train (forward and backward).",
        {"mode": "infer: frozen forward (a kernel computed from weights alone is cached); train: forward and backward"},
        text=lambda setting: MODES[setting["mode"]],
        short=lambda setting: setting["mode"],
    ),
    Axis(
        "batch", POSITIVE, (1,), "Images per call.", {"batch": "images per call"},
        text=lambda setting: f"batch {setting['batch']}",
        short=lambda setting: f"b{setting['batch']}",
    ),
    Axis(
        "channels", POSITIVE, (64,), "Channels of the feature map.",
        {"channels": "input and output channels; for a network the image channels"},
        text=_channels_text,
        short=lambda setting: "networks" if _of_network(setting) else f"c{setting['channels']}",
    ),
    Axis(
        "res", RESOLUTION, (), "Feature map size, for networks image size: 224 or 64x96.",
        {"height": "rows of the feature map or the image", "width": "columns of the feature map or the image"},
        text=lambda setting: f"{size_text(setting)} px",
        short=lambda setting: f"{setting['height']}x{setting['width']}px",
        unit="px",
    ),
    Axis(
        "kernel", POSITIVE, (None,), "Kernel size, for methods that take one.",
        {"kernel": "kernel size set by the sweep; empty if it set none"},
        text=lambda setting: "",  # part of the label of the method
        short=lambda setting: "",
        unit="px",
    ),
    Axis(
        "seed", NATURAL, (0,), "Seed of the weights and inputs.", {"seed": "seed of the weights and inputs"},
        text=lambda setting: f"seed {setting['seed']}" if setting["seed"] else "",
        short=lambda setting: f"seed{setting['seed']}" if setting["seed"] else "",
        splits=False,
    ),
)  # fmt: skip
BY_NAME = {axis.name: axis for axis in AXES}
SPLITTING = tuple(axis.name for axis in AXES if axis.splits)
PER_CELL = tuple(axis for axis in AXES if axis.name != "kernel")  # the axes of a setting: methods differ in their kernel sizes


READING_ORDER = ("res", "channels", "kernel", "batch", "dtype", "device", "mode", "threads", "seed")  # of options and columns


def in_reading_order() -> list[Axis]:
    """Return the axes in the order of the options and the columns; axes that it does not name follow."""
    return sorted(AXES, key=lambda axis: READING_ORDER.index(axis.name) if axis.name in READING_ORDER else len(READING_ORDER))


def columns(axes: Collection[Axis] = AXES) -> tuple[str, ...]:
    """Return the columns of axes, which are fields of a cell."""
    return tuple(name for axis in axes for name in axis.columns)


def fields(values: Mapping[str, Any], axes: Collection[Axis] = AXES) -> dict[str, Any]:
    """Return the fields of a setting from values by axis. A missing or None value is the default of its axis."""
    setting: dict[str, Any] = {}
    for axis in axes:
        value = values.get(axis.name)
        setting |= axis.fields(axis.default[0] if value is None else value)
    return setting


def setting_text(setting: Setting) -> str:
    """Return every axis that a setting has as text, except the kernel size."""
    return ", ".join(filter(None, (axis.text(setting) for axis in _known(setting))))


def short_parts(setting: Setting) -> list[str]:
    """Return every axis that a setting has in a few letters, except the kernel size."""
    return list(filter(None, (axis.short(setting) for axis in _known(setting))))


def short_text(setting: Setting) -> str:
    """Return `short_parts` as one text."""
    return " ".join(short_parts(setting))


def _known(setting: Setting) -> list[Axis]:
    return [axis for axis in AXES if setting.keys() >= axis.meaning.keys()]
