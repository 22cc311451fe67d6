"""Replacement of convolutions: which are replaced, by what, and that all other layers are unchanged."""

from __future__ import annotations

from collections import Counter

import pytest
import timm
import torch
from torch import nn

import methods
from bench.nets.replacement import find_convolutions, find_stem, replace_convolutions
from methods import Unsupported, contract


def on_meta(name):
    with torch.device("meta"):
        return timm.create_model(name)


# Numbers of replaced and unchanged convolutions, counted by hand from the published tables.
FAMILIES = {
    "resnet18": (13, "dense", {"stem": 1, "strided": 3, "1x1": 3}),
    "resnet50": (13, "dense", {"stem": 1, "strided": 3, "1x1": 36}),
    "convnext_atto": (12, "depthwise", {"stem": 1, "strided": 3, "1x1": 24}),
    "mobilenetv2_100": (13, "depthwise", {"stem": 1, "strided": 4, "1x1": 34}),
    "densenet121": (58, "dense", {"stem": 1, "1x1": 61}),
    "efficientnet_b0": (12, "depthwise", {"stem": 1, "strided": 4, "1x1": 64}),
    "mobilenetv3_small_100": (7, "depthwise", {"stem": 1, "strided": 4, "1x1": 41}),
    "mambaout_tiny": (18, "depthwise", {"stem": 2, "strided": 3}),
    "tf_efficientnet_b0": (12, "depthwise", {"stem": 1, "Conv2dSame": 4, "1x1": 64}),
    "resnet18d": (13, "dense", {"stem": 3, "strided": 3, "1x1": 3}),
    "inception_next_tiny": (18, "depthwise", {"stem": 1, "strided": 3, "1x1": 36, "not square": 36}),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_replaced_convolutions_of_each_family(name):
    replaced, kind, unchanged = FAMILIES[name]
    network = on_meta(name)
    convolutions = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    report = replace_convolutions(network, "dwconv7", resolution=224)
    assert network.replacements is report
    assert len(report.replaced) == replaced
    assert {layer.kind for layer in report.replaced} == {kind}
    assert Counter(layer.reason for layer in report.unchanged) == unchanged
    assert len(report.replaced) + len(report.unchanged) == convolutions
    assert network(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, 1000)
    assert report.params_after == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("name", "stem", "size"),
    [
        ("resnet18d", ["conv1.0", "conv1.3", "conv1.6"], 224),
        ("coatnet_0_rw_224", ["stem.conv1", "stem.conv2"], 224),
        ("hgnet_tiny", [f"stem.stem.{i}.conv" for i in range(3)], 224),
        ("vgg11", ["features.0"], 224),  # its first convolutions are not in a separate module
    ],
)
def test_all_convolutions_of_a_deep_stem_are_unchanged(name, stem, size):
    layers = find_convolutions(on_meta(name), "all", 3, (size, size), 3)
    assert [layer.name for layer in layers if layer.reason == "stem"] == stem
    assert not any(layer.name.startswith(("stem.", "conv1.")) for layer in layers if not layer.reason)


@pytest.mark.parametrize(
    ("order", "stem"),
    [
        (["stem.0.0", "stem.1.0", "blocks.0"], "stem"),
        (["body.conv1.conv", "body.layer1.0.conv1"], "body.conv1"),
        (["conv10.a", "conv1.b"], "conv10.a"),
        ([], ""),
    ],
)
def test_name_of_the_stem(order, stem):
    assert find_stem(order) == stem


PUBLISHED_NIFF = {  # parameters of NIFF's networks, from its repository
    ("resnet18", "niff"): 3_331_904,
    ("resnet50", "niff"): 18_280_128,
    ("resnet101", "niff"): 28_404_920,
    ("densenet121", "niff"): 6_159_512,
    ("mobilenetv2_100", "niff"): 3_512_560,
    ("resnet18", "niff_full"): 21_127_320,
    ("resnet50", "niff_full"): 33_778_328,
    ("densenet121", "niff_full"): 10_119_752,
    ("densenet121", "niff_split"): 6_159_512,
    ("densenet121", "conv3"): 7_978_856 + 58 * 32,  # the published network, and the biases of the replaced convolutions
}


@pytest.mark.parametrize(("name", "method"), PUBLISHED_NIFF)
def test_niff_has_as_many_parameters_as_published(name, method):
    assert replace_convolutions(on_meta(name), method, resolution=224).params_after == PUBLISHED_NIFF[name, method]


def test_sizes_of_the_maps_follow_from_the_image():
    report = replace_convolutions(on_meta("resnet18"), "niff", resolution=(96, 160))
    assert [layer.size for layer in report.replaced] == [(24, 40)] * 4 + [(12, 20)] * 3 + [(6, 10)] * 3 + [(3, 5)] * 3
    assert report.params_before == 11_689_512


class Zoo(nn.Module):
    """One convolution of each kind."""

    def __init__(self):
        super().__init__()
        self.never = nn.Conv2d(4, 4, 3, padding=1)
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.dense3 = nn.Conv2d(4, 4, 3, padding=1)
        self.wider5 = nn.Conv2d(4, 8, 5, padding="same", bias=False)
        self.depth7 = nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.depth3 = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.groups = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.point = nn.Conv2d(8, 8, 1)
        self.line = nn.Conv2d(8, 8, (1, 9), padding=(0, 4))
        self.holes = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.valid = nn.Conv2d(8, 8, 3)
        self.twice = nn.Conv2d(8, 8, 3, padding=1)
        self.step = nn.Conv2d(8, 8, 3, padding=1, stride=2)

    def forward(self, x):
        for name in ("stem", "dense3", "wider5", "depth7", "depth3", "groups", "point", "line", "holes", "valid", "twice", "step"):
            x = getattr(self, name)(x)
        return self.twice(x).mean((-2, -1))


UNCHANGED = {
    **{"stem": "stem", "groups": "grouped", "point": "1x1", "line": "not square", "holes": "dilated"},
    **{"valid": "changes the size of its map", "twice": "used at several sizes", "step": "strided", "never": "not used"},
}


@pytest.mark.parametrize(
    ("where", "min_kernel", "replaced"),
    [
        ("all", 3, ["dense3", "wider5", "depth7", "depth3"]),
        ("dense", 3, ["dense3", "wider5"]),
        ("depthwise", 3, ["depth7", "depth3"]),
        ("all", 5, ["wider5", "depth7"]),
        ("depthwise", 7, ["depth7"]),
    ],
)
def test_where_and_min_kernel(where, min_kernel, replaced):
    network = Zoo()
    old = dict(network.named_children())
    report = replace_convolutions(network, "niff", where, min_kernel, resolution=12)
    assert [layer.name for layer in report.replaced] == replaced
    assert {name for name, module in network.named_children() if module is not old[name]} == set(replaced)
    reasons = {layer.name: layer.reason for layer in report.unchanged}
    assert {name: reasons[name] for name in UNCHANGED} == UNCHANGED
    if where == "dense":
        assert reasons["depth7"] == "depthwise, not dense"
    if min_kernel == 5:
        assert reasons["dense3"] == "smaller than 5x5"
    assert network(torch.randn(2, 3, 12, 12)).isfinite().all()


def test_dense_convolution_is_replaced_by_operator_and_1x1():
    network = Zoo()
    replace_convolutions(network, "niff", resolution=12)
    assert type(network.depth7) is methods.get("niff").cls
    assert [name for name, _ in network.dense3.named_children()] == ["operator", "mix"]
    assert network.wider5.operator.channels == 4
    assert network.wider5.mix.weight.shape == (8, 4, 1, 1)
    assert (network.dense3.mix.bias is None, network.wider5.mix.bias is None) == (False, True)


@pytest.mark.parametrize("method", ["conv3", "niff_split", "niff_full", "flexconv", "flexconv_dw"])
def test_no_1x1_if_the_operator_mixes_channels_and_has_out_channels(method):
    network = Zoo()
    replace_convolutions(network, method, where="dense", resolution=12)
    assert type(network.dense3) is type(network.wider5) is methods.get(method).cls
    assert network(torch.randn(2, 3, 12, 12)).shape == (2, 8)


def test_1x1_only_if_numbers_of_channels_differ_without_out_channels():
    network = Zoo()
    replace_convolutions(
        network, lambda channels, size: methods.get("afno").build(channels, size, blocks=2), where="dense", resolution=12
    )
    assert type(network.dense3) is methods.get("afno").cls
    assert network.wider5.mix.weight.shape == (8, 4, 1, 1)


@pytest.mark.parametrize("name", methods.names())
def test_mixes_channels_is_correct(name):
    """If a change of one input channel changes another output channel, channels are mixed."""
    module = contract.make(methods.get(name)).eval()
    x = contract.image((12, 12))
    other = x.clone()
    other[:, 0] += 1
    change = (module(other) - module(x)).abs().amax((0, 2, 3))
    assert bool((change[1:] > 0).any()) == getattr(module, "mixes_channels", False)


def test_unchanged_layers_do_not_depend_on_the_operator():
    def weights(method):
        torch.manual_seed(3)
        network = timm.create_model("test_resnet")
        report = replace_convolutions(network, method, resolution=32) if method else None
        return report, network.state_dict()

    report, original = weights(None)
    for method in ("niff", "dwconv7"):
        report, state = weights(method)
        replaced = {f"{layer.name}.weight" for layer in report.replaced}
        unchanged = original.keys() - replaced
        assert unchanged <= state.keys()
        assert all(torch.equal(state[name], original[name]) for name in unchanged)


def test_finding_convolutions_does_not_change_the_network():
    network = timm.create_model("test_resnet").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    layers = find_convolutions(network, "all", 3, (64, 64), 3)
    assert all(module.training for module in network.modules())
    assert not any(module._forward_hooks for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert {layer.size for layer in layers} == {(64, 64), (32, 32), (16, 16), (8, 8), (4, 4), (2, 2)}


@pytest.mark.parametrize("method", ["niff", "dynamic_filter", "flexconv_dw"])
@pytest.mark.parametrize("name", ["test_resnet", "test_convnext"])
def test_network_with_replaced_convolutions_trains(name, method):
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=5)
    replace_convolutions(network, method, resolution=(32, 48))
    logits = network(torch.randn(2, 3, 32, 48))
    logits.square().sum().backward()
    assert logits.shape == (2, 5)
    missing = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()}
    assert missing == set()


def test_only_operators_are_excluded_from_weight_decay():
    network = timm.create_model("test_resnet")
    report = replace_convolutions(network, "niff", resolution=32)
    expected = {
        f"{layer.name}.operator.{name}"
        for layer in report.replaced
        for name, _ in methods.get("niff").build(4, 8).named_parameters()
    }
    assert network.no_weight_decay() == expected


def test_function_instead_of_a_method_name():
    built = []

    def build(channels, resolution):
        built.append((channels, resolution))
        return nn.Identity()

    replace_convolutions(timm.create_model("test_convnext"), build, resolution=64)
    assert built == [(24, (16, 16))] * 1 + [(32, (8, 8))] * 2 + [(48, (4, 4))] * 4 + [(64, (2, 2))] * 2


def test_unsupported_operator_error_names_the_layer():
    with pytest.raises(Unsupported, match=r"dense3, 4 channels at 12x12: 8 blocks do not divide 4 channels"):
        replace_convolutions(Zoo(), "afno", resolution=12)


def test_invalid_options_and_networks_without_replaceable_convolutions():
    with pytest.raises(ValueError, match="where must be one of all, depthwise, dense, not 'some'"):
        replace_convolutions(Zoo(), "niff", "some", resolution=12)
    with pytest.raises(ValueError, match="min_kernel must be an integer above 1, not 1"):
        replace_convolutions(Zoo(), "niff", min_kernel=1, resolution=12)
    with pytest.raises(ValueError, match=r"no convolution of VisionTransformer can be replaced: 1 stem"):
        replace_convolutions(timm.create_model("test_vit"), "niff", resolution=160)
    with pytest.raises(ValueError, match=r"no convolution of ResNet can be replaced: .*13 dense, not depthwise"):
        replace_convolutions(on_meta("resnet18"), "niff", "depthwise", resolution=64)
