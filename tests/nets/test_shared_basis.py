"""ResNets on shared bases: published parameters and operations, official blocks and regulariser, torchvision as oracle."""

import copy

import pytest
import torch
from torch import nn

from bench import nets
from bench.counters.flops import count
from bench.nets.published import NETWORKS, matches
from bench.nets.shared_basis.blocks import Residual, SharedConv
from bench.training.objective import penalties
from bench.training.optim import parameter_groups
from bench.workload.build import prepare
from methods.contract import relative_error
from methods.registry import Unsupported
from methods.shared_basis import SharedBasis, SharedBasisConv, orthogonality
from tests.methods import test_shared_basis_official as official

PUBLISHED = {name: entry for name, entry in NETWORKS.items() if name.startswith("shared_")}
SMALL = "shared_resnet32[rank=4]"


def build(text=SMALL, classes=10, size=32, seed=0):
    torch.manual_seed(seed)
    return nets.build(text, None, classes, 3, (size, size))


def on_meta(text, classes=10, size=32):
    with torch.device("meta"):
        return build(text, classes, size)


def images(size=16, batch=2):
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1))


def perturbed(network):
    """Set weights and running statistics to values other than 0 and 1."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1 + 0.3 * torch.rand(parameter.shape, generator=generator))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.bias.normal_(generator=generator)
                module.momentum = 1.0
        network.train()(images(64))
    return network


def shared_of(network):
    """Return the operators with a shared basis, per group."""
    return [[m for m in group.modules() if isinstance(m, SharedBasisConv | SharedConv)] for group in network.groups]


@pytest.mark.parametrize("text", PUBLISHED)
def test_published_parameters_and_operations(text):
    """The published operations are multiply-adds plus two per output value of a batch norm."""
    entry, normed = PUBLISHED[text], []
    network = on_meta(text, entry.classes, entry.res).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda module, inputs, output: normed.append(output.numel()))
    assert matches(entry.params, sum(p.numel() for p in network.parameters()))
    products = count(lambda: network(torch.empty(1, 3, entry.res, entry.res, device="meta"))).macs
    assert matches(entry.gmacs, (products + 2 * sum(normed)) / 1e9)


@pytest.mark.parametrize(("rank", "folded"), [(8, False), (16, True)])
def test_a_convolution_is_folded_for_inference_if_that_is_cheaper(rank, folded):
    """At 16 channels u + s filters cost 10 (u + s) products per pixel and channel, the folded convolution 144."""
    network, x = on_meta(f"shared_resnet32[rank={rank}]").eval(), torch.empty(1, 3, 32, 32, device="meta")
    with torch.no_grad():
        factored = count(lambda: network(x)).macs
        frozen = prepare(network, "infer")
        frozen(x)
        counted = count(lambda: frozen(x)).macs
    assert counted < factored if folded else counted == factored


@pytest.mark.parametrize(
    ("text", "bases"),
    [(SMALL, 1), ("shared_resnet34[variant=double]", 2), ("shared_resnet50", 1), ("shared_resnet50[variant=double]", 2)],
)
def test_a_group_shares_from_its_second_block_on(text, bases):
    network = on_meta(text)
    for group in network.groups:
        first, *others = group
        assert all(type(conv) is nn.Conv2d for conv in first.convs)
        owned = [[conv.basis for conv in block.convs if hasattr(conv, "basis")] for block in others]
        assert all(own == owned[0] for own in owned)
        assert len(set(owned[0])) == bases
        assert all(len(set(map(id, block.norms))) == len(block.convs) for block in others)
    everywhere = {id(conv.basis) for group in shared_of(network) for conv in group}
    assert len(everywhere) == bases * len(network.groups)


@pytest.mark.parametrize(("rank", "unique"), [(8, 1), (0, 2), (6, 0)])
def test_ranks_double_with_the_channels(rank, unique):
    network = on_meta(f"shared_resnet32[rank={rank},unique={unique}]")
    shapes = [{(conv.basis.weight.shape[:2], len(conv.unique)) for conv in group} for group in shared_of(network)]
    assert shapes == [{((rank * n, 16 * n), unique * n)} for n in (1, 2, 4)]


def test_two_bases_are_initially_jointly_orthonormal():
    for group in shared_of(build("shared_resnet32[rank=16,variant=double]")):
        rows = torch.cat([basis.weight.flatten(1) for basis in {conv.basis for conv in group}])
        assert len(rows) == 2 * group[0].basis.weight.shape[0]
        assert relative_error(rows @ rows.T, torch.eye(len(rows))) < 1e-5


@pytest.mark.parametrize("name", ["single", "double", "sharedonly", "nonshared"])
def test_official_basic_block(vectors, name):
    stored = vectors(f"shared_basis/basicblock_{name}.npz")
    reference = official.BasicBlock(official.below("sd/", stored), name == "double")
    block = Residual([reference.conv1, reference.conv2], [8, 8], nn.Identity()).double()
    for norm, source in zip(block.norms, (reference.bn1, reference.bn2)):
        norm.load_state_dict(source.state_dict())
    assert_like_official(block, stored)


@pytest.mark.parametrize("name", ["single", "double"])
def test_official_bottleneck(vectors, name):
    stored = vectors(f"shared_basis/bottleneck_shared_{name}.npz")
    state, double = official.below("sd/", stored), name == "double"
    middle, last = SharedConv(SharedBasis(4, 4, (3, 3))), SharedConv(SharedBasis(16, 4, (1, 1)))
    expand = last if double else nn.Conv2d(4, 16, 1, bias=False)
    block = Residual([nn.Conv2d(16, 4, 1, bias=False), middle, expand], [4, 4, 16], nn.Identity()).double()
    names = {"conv1": block.convs[0], "shared_basis_1" if double else "shared_basis": middle.basis}
    names |= {"shared_basis_2": last.basis} if double else {"conv3": expand}
    names |= {f"bn{i + 1}": norm for i, norm in enumerate(block.norms)}
    for prefix, module in names.items():
        module.load_state_dict(official.below(f"{prefix}.", state))
    assert_like_official(block, stored)


def assert_like_official(block, stored):
    x = torch.from_numpy(stored["x"]).requires_grad_()
    assert relative_error(block.eval()(x), torch.from_numpy(stored["y_eval"])) < 1e-9
    y = block.train()(x)
    assert relative_error(y, torch.from_numpy(stored["y_train"])) < 1e-9
    y.square().sum().backward()
    assert relative_error(x.grad, torch.from_numpy(stored["gx_train"])) < 1e-9


@pytest.mark.parametrize(("kind", "printed"), [("single", 94.826302), ("double", 45.989834)])
def test_official_regulariser_of_a_whole_network(vectors, kind, printed):
    weights = official.below(f"c10_{kind}/w/", vectors("shared_basis/regulariser.npz"))
    network = build(f"shared_resnet32[rank=2,unique=1,variant={kind}]")
    with torch.no_grad():
        for stage, group in enumerate(network.groups, 1):
            for b, block in enumerate(list(group)[1:], 1):
                for i, conv in enumerate(block.convs, 1):
                    basis = f"shared_basis_{stage}" + (f"_{i}" if kind == "double" else "")
                    conv.basis.weight.copy_(weights[f"{basis}.weight"])
                    conv.unique.copy_(weights[f"layer{stage}.{b}.basis_conv{i}.weight"])
    (penalty,) = penalties(network)
    assert penalty.item() == pytest.approx(10 * printed, rel=1e-5)


def test_penalty_of_imagenet_networks_excludes_the_unique_filters():
    network = perturbed(build("shared_resnet34[rank=4]"))
    (penalty,) = penalties(network)
    torch.testing.assert_close(penalty, 10 * orthogonality(shared_of(network)))
    penalty.backward()
    touched = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert touched and all(name.endswith("basis.weight") for name in touched)


def test_penalty_of_bottlenecks_averages_3x3_and_1x1_separately():
    """The initial 1x1 bases have 4C rows of length C with orthonormal columns: |B B^T - I|^2 is 3C over (4C)^2 entries."""
    widths = torch.tensor([64.0, 128, 256, 512])
    network = build("shared_resnet50[variant=double]")
    assert network.penalty().item() == pytest.approx(float(10 * 3 * widths.sum() / (4 * widths).square().sum()), rel=1e-3)
    with torch.no_grad():
        for basis in {conv.basis for group in shared_of(network) for conv in group if conv.basis.weight.shape[-1] == 3}:
            basis.weight.mul_(2)  # the diagonal of B B^T - I becomes 3
    added = 10 * 9 * widths.sum() / widths.square().sum()
    expected = float(added + 10 * 3 * widths.sum() / (4 * widths).square().sum())
    assert network.penalty().item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("text", [SMALL, "shared_resnet34[rank=4,stem=cifar,variant=double]", "shared_resnet50[variant=double]"])
def test_every_gradient_is_finite_and_copies_agree(text):
    network, x = build(text), images(32)
    (network(x).square().sum() + network.penalty()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    twin = copy.deepcopy(network.eval())
    torch.testing.assert_close(twin(x), network(x))
    assert [len({id(conv.basis) for conv in group}) for group in shared_of(twin)] == [
        len({id(conv.basis) for conv in group}) for group in shared_of(network)
    ]


@pytest.mark.parametrize("text", ["shared_resnet34[rank=48]", "shared_resnet34[rank=8,variant=double]", "shared_resnet50"])
def test_folded_into_torchvisions_network(text):
    """With folded convolutions the network equals torchvision's ResNet."""
    from torchvision.models import get_model

    network = perturbed(build(text)).eval()
    dense = get_model(text.partition("[")[0].removeprefix("shared_"), weights=None, num_classes=10).eval()
    dense.conv1, dense.bn1, dense.fc = network.stem[0], network.stem[1], network.head
    for i, group in enumerate(network.groups, 1):
        for ours, reference in zip(group, getattr(dense, f"layer{i}"), strict=True):
            for k, (conv, norm) in enumerate(zip(ours.convs, ours.norms, strict=True), 1):
                setattr(reference, f"conv{k}", dense_form(conv))
                setattr(reference, f"bn{k}", norm)
            if reference.downsample is not None:
                reference.downsample = ours.shortcut
    x = images(64)
    with torch.no_grad():
        expected = dense(x)
        assert relative_error(network(x), expected) < 1e-4
        assert relative_error(prepare(network, "infer")(x), expected) < 1e-4


def dense_form(conv):
    if isinstance(conv, SharedBasisConv):
        return conv.fold()
    if isinstance(conv, SharedConv):
        outputs, inputs, size, _ = conv.basis.weight.shape
        dense = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
        dense.weight = conv.basis.weight
        return dense
    return conv


def test_shortcuts_of_the_cifar10_form_have_no_parameters():
    shortcut = on_meta(SMALL).groups[1][0].shortcut
    assert list(shortcut.parameters()) == []
    x = images(5)
    y = shortcut(x)
    assert y.shape == (2, 19, 3, 3)
    assert torch.equal(y[:, :3], x[..., ::2, ::2]) and not y[:, 3:].any()


def test_everything_but_vectors_decays():
    network = build()
    decaying = {p for group in parameter_groups(network, 5e-4) if group["weight_decay"] for p in group["params"]}
    assert decaying == {p for p in network.parameters() if p.ndim > 1}


@pytest.mark.parametrize("text", [SMALL, "shared_resnet32[variant=double]", "shared_resnet50"])
def test_every_operation_of_training_has_a_formula(text):
    network, x = on_meta(text).train(), torch.empty(2, 3, 32, 32, device="meta")

    def step():
        torch.autograd.grad(network(x).sum() + network.penalty(), list(network.parameters()))

    assert count(step).flops > 3 * count(lambda: on_meta(text).eval()(x)).macs


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        ("shared_resnet32[variant=triple]", ValueError, "single or double"),
        ("shared_resnet32[stem=mnist]", ValueError, "cifar or imagenet"),
        ("shared_resnet50[rank=8]", ValueError, "no ranks"),
        ("shared_resnet101[unique=0]", ValueError, "no ranks"),
        ("shared_resnet32[width=8]", ValueError, "width"),
        ("shared_resnet32[rank=0,unique=0]", Unsupported, "ranks"),
        ("shared_resnet32[init=xavier]", Unsupported, "init"),
    ],
)
def test_errors_name_unknown_options(text, error, reason):
    with pytest.raises(error, match=reason):
        build(text)
