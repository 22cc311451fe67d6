"""Plot styles are distinguishable, also with colour blindness, and stable."""

import itertools

import numpy as np
import pytest

import methods
from bench.report import style
from bench.spec import ORIGINAL

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
    """Return linear sRGB of #rrggbb."""
    values = np.array([int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def oklab(colour, vision):
    response = np.clip(np.array(VISION[vision]) @ linear(colour), 0, 1)
    return np.array(LAB) @ np.cbrt(np.array(CONES) @ response)


def distance(one, other, vision):
    return float(np.linalg.norm(oklab(one, vision) - oklab(other, vision)))


def contrast_to_white(colour):
    """Return the contrast ratio to white (WCAG 2.2)."""
    return 1.05 / (linear(colour) @ [0.2126, 0.7152, 0.0722] + 0.05)


def test_every_shipped_method_has_a_family_and_a_distinct_style():
    assert len(SHIPPED) >= 23
    assert all(style.family(name) for name in SHIPPED)
    styles = [style.of(name, name) for name in SHIPPED]
    assert len(set(styles)) == len(styles)
    for known in style.FAMILIES:  # markers are distinct within a colour
        markers = [style.of(name, name).marker for name in SHIPPED if style.family(name) == known]
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
def test_family_is_determined_by_the_prefix_of_a_name(name, known):
    assert style.family(name) == known


@pytest.mark.parametrize("vision", VISION)
def test_families_are_distinguishable_with_colour_blindness(vision):
    """0.02 is about the smallest visible difference between large areas; lines need five times as much."""
    colours = [*style.FAMILIES.values(), *style.OTHERS]
    assert min(distance(one, other, vision) for one, other in itertools.combinations(colours, 2)) > 0.1
    families = {known: [style.of(name, name).colour for name in SHIPPED if style.family(name) == known] for known in style.FAMILIES}
    for one, other in itertools.combinations(families, 2):  # in every lightness
        assert min(distance(a, b, vision) for a in families[one] for b in families[other]) > 0.05, (one, other)


@pytest.mark.parametrize("name", [*SHIPPED, "my_method", "resnet50"])
def test_every_colour_has_contrast_to_white(name):
    assert contrast_to_white(style.of(name, name).colour) >= 3


def test_variant_has_the_colour_of_its_method_and_another_style():
    variants = ["niff[init=broad]", "convnext_tiny + niff", "niff[hidden=16,16] (again)"]
    styles = [style.of("niff", label) for label in variants]
    assert {variant.colour for variant in styles} == {style.of("niff", "niff").colour}
    assert style.of("niff", "niff") not in styles


def test_style_of_a_published_network_has_its_name_without_options():
    assert style.styled_name(ORIGINAL, "resnet18[pretrained=True]") == "resnet18"
    assert style.styled_name("niff", "resnet18[pretrained=True]") == "niff"


@pytest.mark.parametrize("vision", VISION)
def test_two_forms_of_the_crossover_have_distinct_colours(vision):
    assert distance(style.of("dwconv_direct", "dwconv_direct").colour, style.of("dwconv_fft", "dwconv_fft").colour, vision) > 0.2


def test_styles_are_stable():
    """Fixed values: a method has the same style in every figure and process, also a method from outside this package."""
    assert style.of("dwconv7", "dwconv7") == style.Style("#294d85", "s", (5, 2))
    assert style.of("niff", "mixer + niff") == style.Style("#ff5804", "h", ())
    assert style.of("my_method", "my_method").colour in style.OTHERS
