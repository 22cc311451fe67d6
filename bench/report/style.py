"""One look a method, the same in every figure: colour by family; marker, dash pattern and lightness by member. No matplotlib here.

The colours were searched for the largest smallest distance (OKLab) between two families in normal and in simulated colour-blind
vision, at a contrast to white of at least 3.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from bench.spec import digest
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
OWN = {"dwconv_fft": "#8492c5"}  # drawn beside dwconv_direct alone, and not to be taken for it
OTHERS = ("#712737", "#437fbe", "#421034")  # of methods that are no part of this package, and of networks as published
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p", "h")  # matplotlib's names
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 2), (2, 1.5), (7, 2, 2, 2), (1, 1))  # on and off in widths of the line; (): solid
SHADES = (0.0, 0.16, 0.08)  # of white in a dark colour, of black in a light one
DARK = 100.0  # luma, of 255, below which a colour is lightened


class Style(NamedTuple):
    """Colour as #rrggbb, marker by matplotlib's name, and lengths on and off of the dashes."""

    colour: str
    marker: str
    dash: tuple[float, ...]


@cache
def of(label: str) -> Style:
    """The look of a method, or of a variant or a network by its label: the colour of its method, marker and dashes of its own.

    Of the 60 pairs of marker and dashes a variant has the one that its label's digest chooses: two may meet, if rarely.
    """
    name = method(label)
    known = family(name)
    members = [entry.name for entry in shipped() if family(entry.name) == known] if known else []
    chosen = int(digest(label), 16)
    if name not in members:
        colour = FAMILIES[known] if known else OTHERS[int(digest(name), 16) % len(OTHERS)]
        return _look(colour, chosen, chosen)
    index = members.index(name)
    colour = OWN.get(name) or shaded(FAMILIES[known], SHADES[index % len(SHADES)])
    first = list(FAMILIES).index(known)
    return _look(colour, first + index, index) if name == label else _look(colour, chosen, chosen)


def _look(colour: str, marker: int, dash: int) -> Style:
    """The lengths of the two cycles have no divisor in common: one number reaches all pairs."""
    return Style(colour, MARKERS[marker % len(MARKERS)], DASHES[dash % len(DASHES)])


def method(label: str) -> str:
    """The registered name in a label such as `convnext_tiny + niff[init=broad] (again)`; of a network as published, its own."""
    return re.split(r"\[| \(", label.rpartition(" + ")[2], maxsplit=1)[0]


def family(name: str) -> str:
    """The family of a method by its name: the longest that it begins with as a word, digits or an underscore after it; or none."""
    return max((known for known in FAMILIES if re.fullmatch(rf"{known}(\d.*|_.*)?", name)), key=len, default="")


def shaded(colour: str, share: float) -> str:
    """A dark colour with that share of white in it, a light one with black."""
    end = 255 if luma(colour) < DARK else 0
    return "#" + "".join(f"{round(value + share * (end - value)):02x}" for value in _parts(colour))


def luma(colour: str) -> float:
    """How light a colour is, from 0 to 255: the weighted mean of its parts (ITU-R BT.709)."""
    red, green, blue = _parts(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _parts(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
