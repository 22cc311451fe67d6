"""Plot style of a method, the same in every figure. Does not import matplotlib.

The family determines the colour; the member determines marker, dash pattern and lightness. The colours maximise the smallest
distance (OKLab) between two families in normal and simulated colour-blind vision, at a contrast to white of at least 3.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from bench import names
from bench.spec import ORIGINAL, digest
from methods.registry import shipped

FAMILIES = {
    "dwconv": "#002b6e",
    "conv": "#180807",
    "niff": "#ff5804",
    "flexconv": "#066875",
    "global_filter": "#a28c96",
    "dynamic_filter": "#a23300",
    "afno": "#0d97ff",
    "shared_basis": "#8401ce",
}
OVERRIDES = {"dwconv_fft": "#8492c5"}  # often drawn with dwconv_direct alone, so it needs a distinct colour
OTHERS = ("#712737", "#437fbe", "#421034")  # methods from outside this package, and published networks
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p", "h")  # matplotlib's names
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 2), (2, 1.5), (7, 2, 2, 2), (1, 1))  # on and off in line widths; (): solid
SHADES = (0.0, 0.16, 0.08)  # proportion of white mixed into a dark colour, of black into a light colour
DARK = 100.0  # luma (0 to 255) below which a colour is lightened


class Style(NamedTuple):
    """Colour as #rrggbb, matplotlib marker, and on and off lengths of the dashes."""

    colour: str
    marker: str
    dash: tuple[float, ...]


@cache
def of(name: str, label: str) -> Style:
    """Return the style of a line with this label. `name` is its method, or its network if that is measured as published.

    A variant has the colour of its method. The digest of its label selects one of 60 pairs of marker and dashes, so that two
    variants may, rarely, have the same pair.
    """
    group = family(name)
    members = [entry.name for entry in shipped() if family(entry.name) == group] if group else []
    number = int(digest(label), 16)
    if name not in members:
        colour = FAMILIES[group] if group else OTHERS[int(digest(name), 16) % len(OTHERS)]
        return _cycled(colour, number, number)
    index = members.index(name)
    colour = OVERRIDES.get(name) or shaded(FAMILIES[group], SHADES[index % len(SHADES)])
    first = list(FAMILIES).index(group)
    return _cycled(colour, first + index, index) if name == label else _cycled(colour, number, number)


def _cycled(colour: str, marker: int, dash: int) -> Style:
    # The lengths of the two cycles are coprime, so that one number reaches all pairs.
    return Style(colour, MARKERS[marker % len(MARKERS)], DASHES[dash % len(DASHES)])


def styled_name(method: str, network: str) -> str:
    """Return the name that selects the colour: the method, or the network without its options if it is measured as published."""
    return names.parse(network).name if method == ORIGINAL else method


def family(name: str) -> str:
    """Return the longest family name that prefixes a method name, followed by digits, an underscore or nothing; else ""."""
    return max((group for group in FAMILIES if re.fullmatch(rf"{group}(\d.*|_.*)?", name)), key=len, default="")


def shaded(colour: str, share: float) -> str:
    """Mix a proportion of white into a dark colour, or of black into a light colour."""
    end = 255 if luma(colour) < DARK else 0
    return "#" + "".join(f"{round(value + share * (end - value)):02x}" for value in _rgb(colour))


def luma(colour: str) -> float:
    """Return the luma of a colour, 0 to 255 (ITU-R BT.709)."""
    red, green, blue = _rgb(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _rgb(colour: str) -> list[int]:
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
