"""Replacement of operators in a copy of an existing network, its report, and saving and loading."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import timm
import torch
from click.testing import CliRunner
from torch import nn

import methods
from bench.cli import main
from bench.nets.swapping import swap
from methods import Unsupported


def small():
    """Return a small dense network for 16 x 16 images: a stem, a convolution that keeps the channels, one that doubles them."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 8, 5, padding=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def images(size=16):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def test_the_given_network_is_unchanged():
    model = small().train()
    before, modules = {name: value.clone() for name, value in model.state_dict().items()}, list(model.modules())
    network, report = swap(model, "niff", resolution=16)
    assert list(model.modules()) == modules and not hasattr(model, "replacements") and not hasattr(model, "no_weight_decay")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert network is not model and network.training and network.replacements is report
    assert [layer.name for layer in report.replaced] == ["1", "3"] and report.reasons == {"stem": 1}
    assert torch.equal(network[0].weight, model[0].weight) and network[0].weight is not model[0].weight
    assert network(images()).shape == (2, 8)


def test_a_method_with_options():
    network, _ = swap(small(), "niff[hidden=(6,3)]", resolution=16)
    assert [layer.out_features for layer in network[1].operator.real.layers] == [6, 3]
    network, _ = swap(small(), "dwconv[kernel=9,backend=direct]", resolution=16)
    assert (network[3].operator.weight.shape, network[3].operator.backend) == ((4, 1, 9, 9), "direct")
    network, _ = swap(small(), "niff_split", where="dense", min_kernel=5, resolution=16)
    assert type(network[1]) is nn.Conv2d and network[3].out_channels == 8


def test_a_plugin_method():
    name = "test_swapping_plugin"
    methods.register(name)(
        type("Plugin", (nn.Identity,), {"__init__": lambda self, channels, resolution: nn.Identity.__init__(self)})
    )
    try:
        assert swap(small(), name, resolution=16)[0](images()).shape == (2, 8)
    finally:
        del methods.registry._REGISTRY[name]


def test_a_function_needs_no_parameter_for_output_channels():
    def build(channels, resolution):
        return methods.create("conv3", channels, resolution)

    network, _ = swap(small(), build, resolution=16)
    assert type(network[1]) is methods.get("conv3").cls
    assert [name for name, _ in network[3].named_children()] == ["operator", "mix"]
    assert network(images()).shape == (2, 8)

    network, _ = swap(small(), lambda channels, size, **options: methods.create("conv3", channels, size, **options), resolution=16)
    assert type(network[3]) is methods.get("conv3").cls and network[3].conv.out_channels == 8


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("nif", "unknown method 'nif'; did you mean 'niff'"),
        ("niff[hiden=8]", "method 'niff' has no option 'hiden'; did you mean 'hidden'"),
        ("niff[kernel=3]", "method 'niff' takes no kernel size"),
        ("dwconv", "method 'dwconv' needs a kernel size"),
        ("dwconv7[backend]", "is not OPTION=VALUE"),
    ],
)
def test_invalid_methods(method, message):
    with pytest.raises(ValueError, match=message):
        swap(small(), method, resolution=16)


def test_errors_of_the_replacement_pass_through():
    with pytest.raises(ValueError, match="where must be one of"):
        swap(small(), "niff", where="some")
    with pytest.raises(ValueError, match="no convolution of Flatten can be replaced: it has none"):
        swap(nn.Flatten(), "niff")
    with pytest.raises(Unsupported, match="1, 4 channels at 16x16: 8 blocks do not divide 4 channels"):
        swap(small(), "afno", resolution=16)


def test_default_size_and_channels():
    _, report = swap(timm.create_model("test_resnet"), "dwconv7")
    assert report.replaced[0].size == (40, 40)  # a quarter of 160 px, the size that timm states
    _, report = swap(timm.create_model("test_resnet", in_chans=1), "dwconv7", resolution=(64, 32))
    assert report.replaced[0].size == (16, 8)
    _, report = swap(small(), "dwconv7")
    assert report.replaced[0].size == (224, 224)
    _, report = swap(nn.Sequential(nn.Identity(), small()), "dwconv7", resolution=16, in_channels=3)
    assert report.replaced[0].size == (16, 16)


TABLE = """\
Replaced: 2 convolutions
  1  dense        3x3        4 -> 4 channels     16x16
  3  dense        5x5        4 -> 8 channels     16x16
Unchanged: 1 stem
Parameters: 1,076 before, 580 after (-46.1%)"""


def test_the_report_as_text():
    report = swap(small(), "dwconv7", resolution=16)[1]
    assert str(report) == repr(report) == TABLE
    fixed = small().requires_grad_(False)
    assert str(swap(fixed, "dwconv7", resolution=16)[1]).splitlines()[-1] == "Parameters: 0 before, 460 after"
    assert "Unchanged: none" in str(type(report)(report.replaced, (), 1, 2))


def test_the_command_info_prints_the_report():
    done = CliRunner().invoke(main, ["info", "niff", "--backbone", "test_resnet", "--res", "64"])
    report = swap(timm.create_model("test_resnet"), "niff", resolution=64)[1]
    assert done.output.strip().split("\n\n", 1)[1] == str(report)


@pytest.mark.parametrize("method", ["niff", "niff_full", "flexconv", "dynamic_filter", "shared_basis", "dwconv[kernel=5]"])
def test_state_dict_deepcopy_and_pickle(method):
    """A network restored in any way gives the same output and knows which parameters do not decay."""
    network, _ = swap(small(), method, resolution=16)
    network(images()).sum().backward()  # updates batch norms
    network.zero_grad()
    network.eval()
    torch.manual_seed(9)
    loaded, _ = swap(small(), method, resolution=16)
    loaded.load_state_dict(network.state_dict(), strict=True)
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    whole = torch.load(file, weights_only=False)
    for restored in (loaded.eval(), copy.deepcopy(network), pickle.loads(pickle.dumps(network)), whole):
        assert torch.equal(restored(images()), network(images()))
        assert restored.no_weight_decay() == network.no_weight_decay() != set()
        assert restored.replacements == network.replacements


def test_names_of_the_network_without_weight_decay_are_retained():
    model = small()
    model.no_weight_decay = lambda: {"0.weight"}
    network, _ = swap(model, "dwconv7", resolution=16)
    assert network.no_weight_decay() == {"0.weight", *(f"{i}.operator.{name}" for i in (1, 3) for name in ("weight", "bias"))}


def test_what_is_not_a_network_or_a_size_is_an_error():
    with pytest.raises(ValueError, match="'resnet18' is not a network: give a module"):
        swap("resnet18", "dwconv7")
    with pytest.raises(ValueError, match="'160px' is not a resolution"):
        swap(small(), "dwconv7", resolution="160px")
    assert str(swap(small(), "dwconv7", resolution="16x16")[1]) == TABLE
