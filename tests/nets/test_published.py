"""Our networks have the published parameters, and multiply-adds that differ by no more than the reason explains."""

import pytest
import torch

from bench import nets
from bench.axes import IMAGENET_CLASSES
from bench.metrics import flops
from bench.nets import published
from bench.nets.niff.networks import FORMS
from bench.nets.published import COMPLEX, FOLDED, NETWORKS, NORMS, SPECTRUM, matches
from bench.nets.shared_basis import resnet
from bench.spec import ORIGINAL, Cell
from bench.workload.build import Workload

BOUNDS = {  # ours / published - 1
    SPECTRUM: (0.0, 0.025),  # values of the half spectrum: 2 (W/2 + 1) for W
    NORMS: (-0.02, 0.0),
    FOLDED: (-0.16, 0.0),
    COMPLEX: (-0.12, 0.0),
}
LARGE = ("36", "101", "_b", "[")
COUNTED = [name for name, entry in NETWORKS.items() if entry.gmacs and not any(part in name for part in LARGE)]


@pytest.mark.parametrize("name", published.BASELINES)
def test_parameters_of_the_baselines(name):
    """Parameters of our own networks are tested with the networks."""
    with torch.device("meta"):
        network = nets.build(name, None, IMAGENET_CLASSES, 3, (224, 224))
    assert matches(NETWORKS[name].params, sum(parameter.numel() for parameter in network.parameters()))


@pytest.mark.parametrize("name", COUNTED)
def test_multiply_adds_differ_by_what_the_reason_explains(name):
    entry = NETWORKS[name]
    cell = Cell(ORIGINAL, entry.res, entry.res, channels=3, level="model", network=name)
    gmacs = flops.steady(Workload(cell), "direct").macs / 1e9
    assert matches(entry.gmacs, gmacs) or within(gmacs / float(entry.gmacs) - 1, BOUNDS[entry.reason])


def within(value, bounds):
    return bounds[0] <= value <= bounds[1]


def test_each_of_our_networks_except_hosts_has_an_entry():
    known = {name.partition("[")[0] for name in NETWORKS}
    assert {name for name in nets.names() if name not in known} == set(nets.HOSTS)
    assert all(published.find(name) is entry for name, entry in NETWORKS.items())


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("shared_resnet34[variant=double,rank=32]", "shared_resnet34[variant=double]"),
        ("shared_resnet32[unique=1,rank=16]", "shared_resnet32"),
        ("niff_resnet18[mode=split]", "niff_resnet18"),
        ("torchvision/densenet121", "densenet121"),
        ("timm/resnet50", "resnet50"),
    ],
)
def test_default_options_are_omitted(text, entry):
    assert published.find(text) is NETWORKS[entry]


@pytest.mark.parametrize("text", ["shared_resnet34[rank=16]", "dfformer_s18[drop_path=0.1]", "vgg16", "mixer"])
def test_unpublished_networks_have_no_entry(text):
    assert published.find(text) is None


def test_defaults_are_those_of_the_networks():
    for name, form in resnet.CONFIGS.items():
        ranks = dict(zip(("rank", "unique"), form.ranks))
        stem = "cifar" if form.cifar10 else "imagenet"
        assert published.DEFAULTS[name] == {**ranks, "variant": "single", "stem": stem}
    modes = {name: {"mode": form.modes[0]} for name, form in FORMS.items() if len(form.modes) > 1}
    assert {name: options for name, options in published.DEFAULTS.items() if name.startswith("niff")} == modes


@pytest.mark.parametrize(
    ("text", "value", "same"),
    [
        ("9.763 M", 9_763_400, True),
        ("9.763 M", 9_763_600, False),
        ("671,650", 671_650, True),
        ("671,650", 671_651, False),
        ("4.5", 4.4555, True),
    ],
)
def test_values_are_compared_to_the_published_digits(text, value, same):
    assert matches(text, value) == same
