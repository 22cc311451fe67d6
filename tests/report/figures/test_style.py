"""One look a method that everybody can tell apart, the same in every figure."""

import itertools

import numpy as np
import pytest

import methods
from bench.report import style

VISION = {
    "normal": np.eye(3),
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


CONES = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]


LAB = [
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
]


SHIPPED = [entry.name for entry in methods.catalogue()]


def linear(colour):
    """Linear sRGB of #rrggbb."""
    values = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def oklab(colour, vision):
    seen = np.clip(np.array(VISION[vision]) @ linear(colour), 0, 1)
    return np.array(LAB) @ np.cbrt(np.array(CONES) @ seen)


def distance(one, other, vision):
    return float(np.linalg.norm(oklab(one, vision) - oklab(other, vision)))


def contrast_to_white(colour):
    """WCAG 2.2, contrast ratio."""
    return 1.05 / (linear(colour) @ [0.2126, 0.7152, 0.0722] + 0.05)


def test_every_shipped_method_has_a_family_and_a_look_of_its_own():
    assert len(SHIPPED) >= 23
    assert all(style.family(name) for name in SHIPPED)
    looks = [style.of(name) for name in SHIPPED]
    assert len(set(looks)) == len(looks)
    for known in style.FAMILIES:  # within a colour no marker twice
        markers = [style.of(name).marker for name in SHIPPED if style.family(name) == known]
        assert len(set(markers)) == len(markers)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("conv3", "conv"),
        ("dwconv31_direct", "dwconv"),
        ("niff_big", "niff"),
        ("flexconv_dw", "flexconv"),
        ("niffy", ""),
        ("my_conv", ""),
    ],
)
def test_a_family_is_told_by_the_beginning_of_a_name(name, known):
    assert style.family(name) == known


@pytest.mark.parametrize("vision", VISION)
def test_families_stay_apart_for_the_colour_blind(vision):
    """0.02 is about the least difference that is seen between large patches; five times as much between lines."""
    colours = [*style.FAMILIES.values(), *style.OTHERS]
    assert min(distance(one, other, vision) for one, other in itertools.combinations(colours, 2)) > 0.1
    families = {known: [style.of(name).colour for name in SHIPPED if style.family(name) == known] for known in style.FAMILIES}
    for one, other in itertools.combinations(families, 2):  # in every lightness of theirs
        assert min(distance(a, b, vision) for a in families[one] for b in families[other]) > 0.05, (one, other)


@pytest.mark.parametrize("name", [*SHIPPED, "niff[init=broad]", "my_method", "resnet50"])
def test_every_colour_is_seen_on_white(name):
    assert contrast_to_white(style.of(name).colour) >= 3


def test_a_variant_has_the_colour_of_its_method_and_another_look():
    variants = ["niff[init=broad]", "convnext_tiny + niff", "niff[hidden=16,16] (again)"]
    assert {style.of(label).colour for label in variants} == {style.of("niff").colour}
    assert style.of("niff") not in map(style.of, variants)


@pytest.mark.parametrize("vision", VISION)
def test_the_two_forms_of_the_crossover_are_told_apart_by_colour(vision):
    assert distance(style.of("dwconv_direct").colour, style.of("dwconv_fft").colour, vision) > 0.2


def test_a_look_is_the_same_in_every_process():
    """Frozen: a reader knows a method from one figure to the next, also one that this package does not hold."""
    assert style.of("dwconv7") == style.Style("#294d85", "s", (5, 2))
    assert style.of("my_method") == style.of("my_method")
    assert style.of("my_method").colour in style.OTHERS
