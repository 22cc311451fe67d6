"""Published parameters and multiply-adds of networks, for comparison with ours. Does not import torch.

If a publication gives no more digits, the values are those of the published code as counted by fvcore. `reason` explains
differences of our `gmacs`. The values are for images of 3 channels and `res` x `res` pixels, and for `classes` classes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from bench import names
from bench.axes import IMAGENET_CLASSES

SPECTRUM = "published: a mixer's last matrix is applied to the map; here to the half spectrum, which has more values"
NORMS = "published: fvcore counts norms, 5 per value of a layer norm and 2 per value of a batch norm"
FOLDED = "published: factored convolutions, and 2 per value of a batch norm; here frozen and folded if that costs less"
COMPLEX = "published: a complex product counts as four real products; here it counts once"
DFFORMER = "code of Tatsunami and Taki, AAAI 2024"
GFNET = "code of Rao et al., NeurIPS 2021"
SHARED = "code of Kang and Kim, NeurIPS 2021"
NIFF = "code of Grabinski et al., TMLR 2024"
FLEXNET = "code of Romero et al., ICLR 2022"


class Published(NamedTuple):
    """Published values of a network, as text with the published digits and an optional unit, such as 9.763 M."""

    params: str
    gmacs: str  # empty if not published
    source: str
    reason: str = ""  # for a difference in multiply-adds
    classes: int = IMAGENET_CLASSES
    res: int = 224  # pixels
    note: str = ""  # on the parameters


def _imagenet(source: str, reason: str, **values: tuple[str, str]) -> dict[str, Published]:
    return {name: Published(params, gmacs, source, reason) for name, (params, gmacs) in values.items()}


def _small(source: str, reason: str, classes: int, values: dict[str, tuple[str, ...]]) -> dict[str, Published]:
    """Return entries for images of 32 x 32 from parameters, multiply-adds and an optional note."""
    return {name: Published(params, gmacs, source, reason, classes, 32, *note) for name, (params, gmacs, *note) in values.items()}


BASELINES = {
    "resnet18": ("11,689,512", ""),
    "resnet34": ("21.80 M", "3.671"),
    "resnet50": ("25,557,032", "4.11"),
    "resnet101": ("44,549,160", "7.83"),
    "densenet121": ("7,978,856", ""),
    "mobilenet_v2": ("3,504,872", ""),
    "mobilenetv2_100": ("3,504,872", ""),
    "convnext_tiny": ("28,589,128", "4.5"),
    "convnext_small": ("50,223,688", ""),
    "convnext_base": ("88,591,464", ""),
}
NETWORKS: dict[str, Published] = {
    **_imagenet("libraries' code", NORMS, **BASELINES),
    **_imagenet(
        DFFORMER,
        SPECTRUM,
        dfformer_s18=("30,324,372", "3.800"),
        dfformer_s36=("45,610,656", "7.364"),
        dfformer_m36=("65,316,064", "12.463"),
        dfformer_b36=("114,989,344", "22.128"),
        dfformer_s18_k2=("28,526,004", "3.795"),
        dfformer_s18_d8=("28,333,716", "3.798"),
        cdfformer_s18=("30,193,512", "3.885"),
        cdfformer_s36=("45,230,658", "7.533"),
        cdfformer_m36=("64,433,218", "12.716"),
        cdfformer_b36=("113,368,642", "22.465"),
        gfformer_s18=("29,639,856", "3.790"),
    ),
    **_imagenet(DFFORMER, COMPLEX, dfformer_s18_afno=("29,864,112", "4.453")),
    **_imagenet(
        GFNET,
        NORMS,
        gfnet_ti=("7.512 M", "1.278"),
        gfnet_xs=("15.986 M", "2.842"),
        gfnet_s=("24.870 M", "4.466"),
        gfnet_b=("43.121 M", "7.907"),
        gfnet_h_ti=("15.085 M", "2.055"),
        gfnet_h_s=("32.163 M", "4.604"),
        gfnet_h_b=("53.744 M", "8.547"),
    ),
    **_imagenet(
        NIFF,
        "",
        niff_resnet18=("3,331,904", ""),
        niff_resnet50=("18,280,128", ""),
        niff_resnet101=("28,404,920", ""),
        niff_densenet121=("6,159,512", ""),
        niff_mobilenetv2=("3,512,560", ""),
        niff_convnext_t=("28,890,664", ""),
        niff_convnext_s=("50,829,928", ""),
        niff_convnext_b=("89,247,336", ""),
        **{
            "niff_resnet18[mode=full]": ("21,127,320", ""),
            "niff_resnet50[mode=full]": ("33,778,328", ""),
            "niff_resnet101[mode=full]": ("62,798,280", ""),
            "niff_densenet121[mode=full]": ("10,119,752", ""),
        },
    ),
    **_imagenet(
        SHARED,
        NORMS,
        **{
            "shared_resnet34[variant=double]": ("9.763 M", "2.488"),
            "shared_resnet34[rank=48,variant=double]": ("11.787 M", "3.260"),
            "shared_resnet34[rank=48]": ("9.437 M", "3.260"),
            "shared_resnet50": ("20.51 M", "4.11"),
            "shared_resnet50[variant=double]": ("18.26 M", "4.11"),
            "shared_resnet101": ("29.47 M", "7.83"),
        },
    ),
    **_small(
        SHARED,
        FOLDED,
        10,
        {
            "shared_resnet32[rank=8]": ("0.151 M", "0.048"),
            "shared_resnet32": ("0.197 M", "0.080"),
            "shared_resnet32[variant=double]": ("0.246 M", "0.080"),
            "shared_resnet56[rank=8]": ("0.202 M", "0.085"),
            "shared_resnet56": ("0.271 M", "0.148", "0.22 M on the authors' page"),
            "shared_resnet56[variant=double]": ("0.319 M", "0.148"),
        },
    ),
    **_small(
        SHARED,
        NORMS,
        100,
        {
            "shared_resnet34[rank=8,stem=cifar]": ("5.865 M", "0.397"),
            "shared_resnet34[rank=16,stem=cifar]": ("6.486 M", "0.523"),
            "shared_resnet34[stem=cifar]": ("7.727 M", "0.775"),
        },
    ),
    **_small(
        FLEXNET,
        "",
        10,
        {
            "flexnet7": ("671,650", ""),
            "flexnet7[kernel=3]": ("169,990", ""),
            "flexnet7[kernel=33]": ("19,998,790", ""),
            "flexnet7[kernel_net=siren]": ("627,970", ""),
            "flexnet7[kernel_net=gabor]": ("669,730", ""),
            "flexnet5": ("454,046", "", "0.44 M according to the authors"),
            "flexnet3": ("277,090", "", "0.27 M according to the authors"),
        },
    ),
}
DEFAULTS: dict[str, dict[str, Any]] = {  # options that are omitted from the names if they have the published value
    "shared_resnet32": {"rank": 16, "unique": 1, "variant": "single", "stem": "cifar"},
    "shared_resnet56": {"rank": 16, "unique": 1, "variant": "single", "stem": "cifar"},
    "shared_resnet34": {"rank": 32, "unique": 1, "variant": "single", "stem": "imagenet"},
    "shared_resnet50": {"variant": "single", "stem": "imagenet"},
    "shared_resnet101": {"variant": "single", "stem": "imagenet"},
    **{name: {"mode": "split"} for name in ("niff_resnet18", "niff_resnet50", "niff_resnet101", "niff_densenet121")},
}


def find(network: str) -> Published | None:
    """Return the published values of a network NAME[option=value,...], or None if there are none."""
    label = names.parse(network)
    name = label.name.removeprefix("timm/").removeprefix("torchvision/")
    defaults = DEFAULTS.get(name, {})
    options = tuple((key, value) for key, value in label.options if key not in defaults or defaults[key] != value)
    return NETWORKS.get(str(names.Name(name, options)))


def matches(text: str, value: float) -> bool:
    """Return True if a count equals a published value, rounded to its digits."""
    number, _, unit = text.partition(" ")
    digits = len(number.partition(".")[2])
    return f"{value / (1e6 if unit == 'M' else 1):,.{digits}f}" == number
