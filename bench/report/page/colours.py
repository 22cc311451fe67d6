"""Styles of the methods for Vega and CSS: marker paths, and lighter colours on a dark background."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from bench.report import style
from bench.report.page.data import Values

DARK = "#15181d"  # background of the dark theme
CONTRAST = 4.5  # minimum contrast of a line to that background
DISC = "M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0Z"


def polygon(corners: int, turn: float = 0.0, inner: float = 1.0) -> str:
    """Return the path of a regular polygon in the unit circle, or of a star if the inner radius is not 1."""
    count = corners if inner == 1 else 2 * corners
    radii = [1.0 if index % 2 == 0 else inner for index in range(count)]
    angles = [2 * math.pi * (index / count + turn) - math.pi / 2 for index in range(count)]
    points = [f"{radius * math.cos(angle):.3f},{radius * math.sin(angle):.3f}" for radius, angle in zip(radii, angles)]
    return "M" + "L".join(points) + "Z"


PLUS = "M-.35,-1L.35,-1L.35,-.35L1,-.35L1,.35L.35,.35L.35,1L-.35,1L-.35,.35L-1,.35L-1,-.35L-.35,-.35Z"
CROSS = "M-1,-.5L-.5,-1L0,-.5L.5,-1L1,-.5L.5,0L1,.5L.5,1L0,.5L-.5,1L-1,.5L-.5,0Z"
PATHS = {
    "o": DISC,
    "s": "M-.85,-.85L.85,-.85L.85,.85L-.85,.85Z",
    "^": polygon(3),
    "v": polygon(3, 1 / 2),
    "<": polygon(3, -1 / 4),
    ">": polygon(3, 1 / 4),
    "D": polygon(4),
    "p": polygon(5),
    "h": polygon(6),
    "*": polygon(5, inner=0.45),
    "P": PLUS,
    "X": CROSS,
}


def styles(values: Values) -> dict[str, dict[str, Any]]:
    """Return colour, marker path and dashes of each label and of each series of the page."""
    names = list(map(style.styled_name, values["method"], values["network"]))
    shown = {label: style.of(name, label) for column in ("label", "series") for label, name in zip(values[column], names)}
    return {label: {"colour": line.colour, "shape": PATHS[line.marker], "dash": list(line.dash)} for label, line in shown.items()}


def rules(colours: Iterable[str]) -> str:
    """Return CSS rules that lighten the marks of a chart in the dark theme only."""
    lines = []
    for colour in sorted(set(colours)):
        pair = f"light-dark({colour}, {lightened(colour)})"
        lines += [f'svg [{what}="{colour}" i] {{ {what}: {pair}; }}' for what in ("stroke", "fill")]
    return "\n".join(lines)


def lightened(colour: str) -> str:
    """Mix white into a colour until it has the minimum contrast to the dark background."""
    values = channels(colour)
    mixed = ([value + step / 20 * (255 - value) for value in values] for step in range(21))
    enough = next(values for values in mixed if contrast(values, channels(DARK)) >= CONTRAST)
    return "#" + "".join(f"{round(value):02x}" for value in enough)


def channels(colour: str) -> list[float]:
    """Return red, green and blue, 0 to 255, of #rrggbb."""
    return [float(int(colour[start : start + 2], 16)) for start in (1, 3, 5)]


def contrast(one: Iterable[float], other: Iterable[float]) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: Iterable[float]) -> float:
    """Return the relative luminance of red, green and blue, 0 to 255 (WCAG 2.2)."""
    scaled = [value / 255 for value in colour]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in scaled]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
