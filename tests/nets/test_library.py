"""Networks of timm and torchvision: names, building, counts."""

from __future__ import annotations

import urllib.error

import pytest
import timm
import torch

import methods
from bench import nets
from bench.metrics import flops, params
from bench.metrics.flops import steady
from bench.nets import library
from bench.spec import ORIGINAL, Cell
from bench.workload.build import Workload
from bench.workload.cost import predict
from tests.builders import values_of


def workload_of(network, method=ORIGINAL, size=(64, 64), **settings):
    return Workload(Cell(method, *size, 3, level="model", network=network, **settings))


def build(text, operator=None, classes=7, channels=3, size=(32, 32)):
    return nets.build(text, operator, classes, channels, size)


def test_a_name_is_looked_up_in_timm_then_in_torchvision():
    assert library.find("resnet18") == library.find("timm/resnet18") == ("timm", "resnet18")
    assert library.find("torchvision/resnet18") == ("torchvision", "resnet18")
    assert library.find("shufflenet_v2_x1_0") == ("torchvision", "shufflenet_v2_x1_0")
    assert library.find("resnet50.a1_in1k") == ("timm", "resnet50.a1_in1k")


@pytest.mark.parametrize(("wrong", "near"), [("resnt18", "resnet18"), ("convnext_attoo", "convnext_atto"), ("mixr", "mixer")])
def test_unknown_name_error_suggests_similar_names(wrong, near):
    with pytest.raises(ValueError, match=rf"unknown network '{wrong}'; did you mean .*'{near}'"):
        library.find(wrong)


def test_prefix_selects_the_library():
    with pytest.raises(ValueError, match=r"unknown network 'torchvision/convnext_atto'"):
        library.find("torchvision/convnext_atto")


def test_any_number_of_channels_and_classes():
    for name in ("test_resnet", "torchvision/squeezenet1_1"):
        for channels in (1, 3):
            assert build(name, channels=channels).eval()(torch.zeros(2, channels, 32, 32)).shape == (2, 7)


def test_constructor_that_computes_with_tensors_on_meta():
    with torch.device("meta"):
        network = build("torchvision/regnet_x_400mf", channels=1, size=(64, 64))
        assert network(torch.empty(2, 1, 64, 64)).shape == (2, 7)


def test_network_of_fixed_image_size_is_built_for_it():
    assert build("test_vit", size=(64, 96))(torch.zeros(1, 3, 64, 96)).shape == (1, 7)


def test_other_options_are_those_of_the_network():
    network = build("test_convnext[kernel_sizes=31]")
    assert {m.kernel_size for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.groups > 1} == {(31, 31)}
    with pytest.raises(ValueError, match="network 'test_resnet': got an unexpected keyword argument 'wher'"):
        build("test_resnet[wher=dense]")
    with pytest.raises(ValueError, match="where must be one of"):
        build("test_resnet[where=stem]")


def test_options_select_what_is_replaced():
    network = build("test_convnext[min_kernel=7]", methods.get("dwconv3").build)
    assert {layer.kernel for layer in network.replacements.replaced} == {(7, 7)}
    assert not hasattr(build("test_convnext[min_kernel=7]"), "replacements")


def test_unavailable_pretrained_weights_are_an_early_error(monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    timeouts = []

    def unreachable(address, timeout):
        timeouts.append(timeout)
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(ConnectionError, match=r"the pretrained weights of 'test_resnet' are not in .* cannot be reached"):
        build("test_resnet[pretrained=True]")
    with pytest.raises(ConnectionError):
        library.check("test_resnet[pretrained=True]")
    assert timeouts == [1.0, 1.0]


def test_cached_pretrained_weights_are_used_for_unchanged_layers(monkeypatch, tmp_path):
    torch.manual_seed(5)
    state = timm.create_model("test_resnet").state_dict()
    file = tmp_path / "pytorch_model.bin"
    torch.save(state, file)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repo, name: str(file) if name == file.name else None)
    network = build("test_resnet[pretrained=True]", methods.get("niff").build, classes=1000)
    unchanged = state.keys() - {f"{layer.name}.weight" for layer in network.replacements.replaced}
    assert all(torch.equal(network.state_dict()[name], state[name]) for name in unchanged)
    with torch.device("meta"):
        assert build("test_resnet[pretrained=True]").get_parameter("fc.weight").is_meta  # the weights are not loaded


def test_networks_without_pretrained_weights():
    with pytest.raises(ValueError, match="pretrained weights are available from timm only"):
        build("torchvision/resnet18[pretrained=True]")
    bare = next(name for name in timm.list_models() if not getattr(timm.get_pretrained_cfg(name), "has_weights", False))
    with pytest.raises(ValueError, match=f"timm has no pretrained weights of '{bare}'"):
        library.weights_source(bare)


PUBLISHED = {  # 1e9 multiply-adds of convolutions and matrix products at 224 x 224, as fvcore counts the published networks
    "resnet18": (1.81407, 11_689_512),
    "resnet50": (4.08918, 25_557_032),
    "convnext_tiny": (4.45553, 28_589_128),
    "mobilenetv2_100": (0.30077, 3_504_872),
    "densenet121": (2.83416, 7_978_856),
    "torchvision/resnet18": (1.81407, 11_689_512),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(name):
    workload = workload_of(name, size=(224, 224))
    assert round(steady(workload).macs / 1e9, 5) == PUBLISHED[name][0]
    assert values_of(params, workload)["params_count"] == PUBLISHED[name][1]


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
@pytest.mark.parametrize(
    ("name", "method"),
    [("resnet18", ORIGINAL), ("test_convnext", ORIGINAL), ("test_efficientnet", "conv3"), ("test_resnet", "dwconv7")],
)
def test_fvcore_counts_the_same(name, method):
    from fvcore.nn import FlopCountAnalysis

    workload = workload_of(name, method)
    with torch.no_grad():
        analysis = FlopCountAnalysis(workload.build("cpu"), workload.inputs()).unsupported_ops_warnings(False)
        counted = analysis.uncalled_modules_warnings(False).by_operator()
    assert steady(workload).macs == sum(counted[kind] for kind in ("conv", "linear", "matmul", "addmm", "bmm"))


# Networks with different operations; an operation without a formula raises.
@pytest.mark.parametrize("mode", ["infer", "train"])
@pytest.mark.parametrize(
    "name",
    [
        *("test_resnet", "test_convnext", "test_vit", "test_efficientnet", "test_mambaout", "test_nfnet", "test_byobnet"),
        *(
            "mobilenetv3_small_100",
            "swin_tiny_patch4_window7_224",
            "densenet121",
            "torchvision/squeezenet1_1",
            "coatnet_nano_rw_224",
        ),
    ],
)
def test_every_operation_of_a_network_is_counted(name, mode):
    forward, call = (steady(workload_of(name, size=(224, 224), mode=m)) for m in ("infer", mode))
    assert call.flops > call.linear > 0
    if mode == "train":
        assert 2.8 * forward.linear < call.linear < 3.6 * forward.linear  # attention recomputes its weights


def test_training_a_network_costs_three_forwards():
    """The backward pass counts twice: gradients of the maps (including the image) and of the weights."""
    forward, step = (steady(workload_of("resnet18", mode=mode)) for mode in ("infer", "train"))
    assert step.linear == 3 * forward.linear


def test_a_network_has_no_kernel_extent():
    values = values_of(params, workload_of("test_resnet", "dwconv7"))
    assert (values["kernel_height"], values["kernel_width"]) == (None, None)


def test_operators_inside_a_network_are_frozen_for_inference():
    values = values_of(flops, workload_of("test_resnet", "niff"))
    assert values["flops_kernel"] > 0
    assert 0 < values["kernel_share"] < 1
    frozen, training = (workload_of("test_resnet", "niff", mode=mode).build("cpu") for mode in ("infer", "train"))
    operators = [module for module in frozen.modules() if hasattr(module, "cached")]
    assert len(operators) == 4 and all(operator._frozen for operator in operators) and not frozen.training
    assert training.training and not any(module._frozen for module in training.modules() if hasattr(module, "cached"))


def test_predicted_cost_includes_the_backward_of_a_network():
    infer, train = (predict(workload_of("test_resnet", "niff", mode=mode)) for mode in ("infer", "train"))
    assert train.flops > 2.5 * infer.flops
    assert train.bytes > infer.bytes


def test_network_that_rescales_images_accepts_any_size():
    with torch.device("meta"):
        assert build("crossvit_9_240", size=(224, 224)).eval()(torch.empty(1, 3, 224, 224)).shape == (1, 7)
