"""FlexNets: published parameters, logits of the official network, cost, training and other resolutions."""

import copy

import pytest
import torch

from bench import nets
from bench.counters.flops import count
from bench.nets.published import NETWORKS, matches
from bench.nets.resolution import adapt, ways
from bench.training.objective import penalties
from bench.training.optim import lr_scales, parameter_groups
from bench.workload.build import prepare
from methods.contract import relative_error
from methods.flexconv import FlexConv

TINY = "flexnet3[width=4,hidden=8]"


def build(text=TINY, classes=10, size=(20, 20), channels=3, seed=0):
    torch.manual_seed(seed)
    return nets.build(text, None, classes, channels, size)


def on_meta(text, classes=10, size=(32, 32)):
    with torch.device("meta"):
        return build(text, classes, size)


def layers(network):
    return [module for module in network.modules() if isinstance(module, FlexConv)]


def images(size=(20, 20), batch=2):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("text", [name for name in NETWORKS if name.startswith("flexnet")])
def test_parameters_are_those_published(text):
    entry = NETWORKS[text]
    assert matches(entry.params, sum(p.numel() for p in on_meta(text, entry.classes).parameters()))


def test_parameters_for_a_thousand_classes():
    assert sum(p.numel() for p in on_meta("flexnet5", 1000).parameters()) == 498_596


def test_official_logits(vectors):
    data = vectors("flexconv/flexnet3_tiny_eval.npz")
    network = build("flexnet3[width=4,hidden=8,horizon=33]", seed=3).eval()
    network.load_official({key.removeprefix("param/"): torch.from_numpy(v) for key, v in data.items() if key.startswith("param/")})
    assert [list(layer.cropped()) for layer in layers(network)] == data["kernel_sizes"][:, 2:].tolist()
    x, expected = torch.from_numpy(data["x"]), torch.from_numpy(data["logits"])
    with torch.no_grad():
        assert relative_error(network(x), expected) < 1e-5
        assert relative_error(prepare(network, "infer")(x), expected) < 1e-5


@pytest.mark.parametrize(
    ("change", "error"),
    [({"extra": torch.zeros(1)}, KeyError), ({"norm1.weight": None}, KeyError), ({"norm1.weight": torch.zeros(5)}, ValueError)],
)
def test_invalid_official_weights_are_rejected(change, error):
    network = build("flexnet3[kernel=3,width=4]")
    state = {key: value for key, value in (network.state_dict() | change).items() if value is not None}
    with pytest.raises(error, match=r"extra|norm1\.weight"):
        network.load_official(state)


@pytest.mark.parametrize(
    ("size", "text", "horizon"), [((32, 32), "flexnet3", 33), ((28, 96), "flexnet3", 97), ((32, 32), "flexnet3[horizon=17]", 17)]
)
def test_the_horizon_is_one_more_than_the_image(size, text, horizon):
    assert {layer.horizon for layer in layers(on_meta(text, size=size))} == {horizon}


def test_blocks_are_as_wide_as_published():
    widths = {name: [block.norm2.num_features for block in on_meta(name).blocks] for name in ("flexnet3", "flexnet5", "flexnet7")}
    assert widths == {
        "flexnet3": [24, 36, 48],
        "flexnet5": [22, 33, 33, 44, 44],
        "flexnet7": [24, 24, 36, 36, 36, 48, 48],
    }


@pytest.mark.parametrize("text", [TINY, "flexnet3[width=4,kernel=5]", "flexnet3[width=4,kernel_net=siren,dropout=0]"])
def test_every_gradient_is_finite_and_copies_agree(text):
    network, x = build(text, size=(12, 9)), images((12, 9))
    network(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert all(p.grad.abs().sum() > 0 for name, p in network.named_parameters() if name.endswith("weight"))
    twin = copy.deepcopy(network.eval())
    torch.testing.assert_close(twin(x), network(x))


def test_no_layer_changes_the_size_of_the_map():
    network, shapes = build(size=(12, 9)).eval(), []
    for block in network.blocks:
        block.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape)))
    network(images((12, 9)))
    assert shapes == [(2, 4, 12, 9), (2, 6, 12, 9), (2, 8, 12, 9)]


def test_dropout_is_inside_the_blocks():
    torch.manual_seed(0)
    sure, x = build("flexnet3[width=4,hidden=8,dropout=0]"), images()
    torch.testing.assert_close(sure(x), sure(x))
    unsure = build()
    assert not torch.allclose(unsure(x), unsure(x))
    assert [module.p for module in unsure.modules() if isinstance(module, torch.nn.Dropout)] == [0.2] * 3


def test_the_penalties_are_those_of_the_layers():
    assert [penalty.item() for penalty in penalties(build())] == [0] * 7
    network = build("flexnet3[width=4,hidden=8,antialias=0.1,antialias_target=gabor+mask]")
    values = list(penalties(network))
    torch.testing.assert_close(sum(values), sum(layer.penalty() for layer in layers(network)))
    assert all(penalty.item() > 0 for penalty in values)
    assert list(penalties(build("flexnet3[width=4,kernel=3]"))) == []


def test_masks_have_a_lower_learning_rate_and_implicit_layers_do_not_decay():
    network = build()
    masks = {p for layer in layers(network) for p in layer.mask.parameters()}
    assert lr_scales(network) == dict.fromkeys(masks, 0.1)
    inside = {p for layer in layers(network) for p in layer.parameters()}
    decaying = {p for group in parameter_groups(network, 0.05) if group["weight_decay"] for p in group["params"]}
    assert decaying == {p for p in network.parameters() if p.ndim > 1} - inside
    assert len(decaying) == 3  # two shortcuts and the classifier
    plain = build("flexnet3[width=4,kernel=3]")
    assert plain.no_weight_decay() == set()


def test_at_twice_the_resolution_the_kernels_are_rescaled():
    """The grid of twice the resolution contains every point of the coarse grid; its values there are a quarter."""
    network = build("flexnet3[width=4,hidden=8,sigma=0.3]", size=(16, 16)).eval()
    assert ways(network) == ("rescaled",)
    coarse = [layer.kernel() for layer in layers(network)]
    adapted, x = adapt(network, "rescaled"), images((32, 32))
    logits = adapted(x)
    for layer, before in zip(layers(adapted), coarse):
        assert (layer.horizon, layer.scale) == (33, 0.25)
        fine = layer.kernel()
        middle, half = fine.shape[-1] // 2, before.shape[-1] // 2
        same = slice(middle - 2 * half, middle + 2 * half + 1, 2)
        assert relative_error(4 * fine[..., same, same], before) < 1e-5
    by_hand = copy.deepcopy(network)
    for layer in layers(by_hand):
        layer.at_resolution(32)
    torch.testing.assert_close(logits, by_hand(x))
    assert not torch.allclose(logits, network(x))
    assert {layer.horizon for layer in layers(network)} == {17}


def test_operations_of_the_baseline_by_hand():
    """k k w w' products per pixel and layer, w w' for a change of width, and the classifier."""
    network = on_meta("flexnet3[kernel=3]").eval()
    pixels, blocks = 32 * 32, ((24, 24), (24, 36), (36, 48))
    products = 9 * 3 * 24 + sum(9 * (i * o + o * o) + (i != o) * i * o for i, o in blocks)
    assert count(lambda: network(torch.empty(1, 3, 32, 32, device="meta"))).macs == pixels * products + 48 * 10


def test_operations_of_continuous_layers_are_those_of_their_kernels():
    network = prepare(on_meta("flexnet3[backend=direct]"), "infer")
    with torch.no_grad():
        network(torch.empty(1, 3, 32, 32, device="meta"))
        counted = count(lambda: network(torch.empty(1, 3, 32, 32, device="meta"))).macs
    assert {layer.cropped() for layer in layers(network)} == {(5, 5)}
    layered = sum(layer.flops(32, 32).apply // 2 for layer in layers(network))
    assert counted == layered + 32 * 32 * (24 * 36 + 36 * 48) + 48 * 10


@pytest.mark.parametrize("text", ["flexnet3", "flexnet3[sigma=0.4]", "flexnet7[kernel=3]"])
def test_every_operation_of_training_has_a_formula(text):
    network, x = on_meta(text).train(), torch.empty(2, 3, 32, 32, device="meta")

    def step():
        torch.autograd.grad(network(x).sum(), list(network.parameters()))

    assert count(step).flops > 3 * count(lambda: on_meta(text).eval()(x)).macs


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("flexnet3[depth=2]", "no option depth"),
        ("flexnet3[out_channels=2]", "no option out_channels"),
        ("flexnet3[kernel=3,sigma=0.1]", "no option sigma"),
        ("flexnet3[kernel=3,horizon=9]", "no option horizon"),
        ("flexnet3[kernel=4]", "positive odd number"),
        ("flexnet3[kernel=wide]", "positive odd number"),
    ],
)
def test_errors_name_unknown_options(text, reason):
    with pytest.raises(ValueError, match=reason):
        build(text)
