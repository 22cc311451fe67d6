"""The shared filter basis against the official residual blocks and regulariser."""

import pytest
import torch
from torch import nn

from methods.contract import relative_error
from methods.shared_basis import SharedBasis, SharedBasisConv, orthogonality


class BasicBlock(nn.Module):
    """The residual block of the published networks around two factored convolutions."""

    def __init__(self, state, double=False):
        super().__init__()
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        channels, rank = shapes["coeff_conv1.weight"][:2]
        unique = shapes.get("basis_conv1.weight", (0,))[0]
        self.conv1, self.conv2 = (
            SharedBasisConv(channels, 8, shared_rank=rank - unique, unique_rank=unique).double() for _ in range(2)
        )
        self.bn1, self.bn2 = (nn.BatchNorm2d(channels).double() for _ in range(2))
        if not double:
            self.conv2.share(self.conv1.basis)
        for i, conv in ((1, self.conv1), (2, self.conv2)):
            conv.load_official({name: tensor for name, tensor in state.items() if official_convolution(name, i)})
        self.bn1.load_state_dict(below("bn1.", state))
        self.bn2.load_state_dict(below("bn2.", state))

    def forward(self, x):
        y = self.bn1(self.conv1(x)).relu()
        return (self.bn2(self.conv2(y)) + x).relu()

    def official_names(self, double):
        names = {}
        for i, conv, norm in ((1, self.conv1, self.bn1), (2, self.conv2, self.bn2)):
            names[f"shared_basis_{i}" if double else "shared_basis"] = conv.basis
            names |= {f"basis_bn{i}": conv.norm, f"bn{i}": norm}
        modules = {f"{name}.{leaf}": t for name, module in names.items() for leaf, t in module.state_dict(keep_vars=True).items()}
        for i, conv in ((1, self.conv1), (2, self.conv2)):
            modules |= {f"basis_conv{i}.weight": conv.unique, f"coeff_conv{i}.weight": conv.coefficients}
        return modules


class Bottleneck(nn.Module):
    """The published bottleneck: the 3 x 3 convolution is a shared basis, in the double form also the 1 x 1 expansion."""

    def __init__(self, state, double=False):
        super().__init__()
        self.conv1 = nn.Conv2d(16, 4, 1, bias=False).double()
        self.basis = SharedBasis(4, 4, (3, 3)).double()
        self.expand = SharedBasis(16, 4, (1, 1)).double()
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels).double() for channels in (4, 4, 16))
        for name, tensor in self.official_names(double).items():
            tensor.data.copy_(state.pop(name))
        assert not state

    def forward(self, x):
        y = self.norms[0](self.conv1(x)).relu()
        y = self.norms[1](torch.conv2d(y, self.basis.weight, padding=1)).relu()
        return (self.norms[2](torch.conv2d(y, self.expand.weight)) + x).relu()

    def official_names(self, double):
        names = {"conv1": self.conv1, "shared_basis_1" if double else "shared_basis": self.basis}
        names |= {"shared_basis_2" if double else "conv3": self.expand}
        names |= {f"bn{i + 1}": norm for i, norm in enumerate(self.norms)}
        return {f"{name}.{leaf}": t for name, module in names.items() for leaf, t in module.state_dict(keep_vars=True).items()}


def official_convolution(name, i):
    """Return True if a weight of a block belongs to its factored convolution i."""
    return name.startswith(("shared_basis.", f"shared_basis_{i}.", f"basis_conv{i}.", f"basis_bn{i}.", f"coeff_conv{i}."))


def below(prefix, values):
    return {name.removeprefix(prefix): torch.as_tensor(value) for name, value in values.items() if name.startswith(prefix)}


@pytest.mark.parametrize(
    ("name", "block", "double"),
    [
        ("basicblock_single", BasicBlock, False),
        ("basicblock_double", BasicBlock, True),
        ("basicblock_sharedonly", BasicBlock, False),
        ("basicblock_nonshared", BasicBlock, False),
        ("bottleneck_shared_single", Bottleneck, False),
        ("bottleneck_shared_double", Bottleneck, True),
    ],
)
def test_official_block(vectors, name, block, double):
    stored = vectors(f"shared_basis/{name}.npz")
    module = block(below("sd/", stored), double)
    tensors = module.official_names(double)
    x = torch.from_numpy(stored["x"]).requires_grad_()
    assert relative_error(module.eval()(x), torch.from_numpy(stored["y_eval"])) < 1e-9
    y = module.train()(x)
    assert relative_error(y, torch.from_numpy(stored["y_train"])) < 1e-9
    y.square().sum().backward()
    assert relative_error(x.grad, torch.from_numpy(stored["gx_train"])) < 1e-9
    gradients, largest = below("g/", stored), max(g.abs().max() for g in below("g/", stored).values())
    for parameter, expected in gradients.items():
        if parameter.startswith("basis_bn") and parameter.endswith("bias"):  # 0: the next batch norm removes constants
            assert max(expected.abs().max(), tensors[parameter].grad.abs().max()) < 1e-12 * largest
        else:
            assert relative_error(tensors[parameter].grad, expected) < 1e-9, parameter
    for buffer, expected in below("after/", stored).items():
        assert relative_error(tensors[buffer], expected) < 1e-9, buffer


@pytest.mark.parametrize("name", ["single", "double", "sharedonly", "nonshared"])
def test_official_block_folded_and_frozen(vectors, name):
    stored = vectors(f"shared_basis/basicblock_{name}.npz")
    module = BasicBlock(below("sd/", stored), name == "double").eval()
    x, expected = torch.from_numpy(stored["x"]), torch.from_numpy(stored["y_eval"])
    module.conv1.freeze()
    module.conv2.freeze()
    assert relative_error(module(x), expected) < 1e-9
    module.conv1, module.conv2 = module.conv1.fold(), module.conv2.fold()
    assert relative_error(module(x), expected) < 1e-9


def official_group(stored, kind, stage):
    """Build the eight factored convolutions of a stage of the published ResNet32, on one basis or two alternating ones."""
    weights = below(f"c10_{kind}/w/", stored)
    rank, channels = 2**stage, 8 * 2**stage
    stack = SharedBasisConv.stack(8, channels, 8, shared_rank=rank, unique_rank=rank // 2)
    if kind == "double":
        second = SharedBasis(rank, channels, (3, 3))
        for operator in stack[1::2]:
            operator.share(second)
    names = {}
    for i, operator in enumerate(stack):
        basis = f"shared_basis_{stage}" + (f"_{i % 2 + 1}" if kind == "double" else "")
        names |= {
            f"{basis}.weight": operator.basis.weight,
            f"layer{stage}.{i // 2 + 1}.basis_conv{i % 2 + 1}.weight": operator.unique,
        }
    for name, tensor in names.items():
        tensor.data.copy_(weights[name])
    return stack, names


@pytest.mark.parametrize(
    ("kind", "include_unique", "printed"), [("single", True, 94.826302), ("single", False, 0.005797), ("double", True, 45.989834)]
)
def test_official_regulariser(vectors, kind, include_unique, printed):
    stored = vectors("shared_basis/regulariser.npz")
    groups = [official_group(stored, kind, stage) for stage in (1, 2, 3)]
    value = orthogonality([stack for stack, _ in groups], include_unique)
    case = f"c10_{kind}_{'incl_unique' if include_unique else 'shared_only'}"
    assert value.item() == pytest.approx(printed, rel=1e-5, abs=5e-7)
    (10 * value).backward()
    tensors = {name: tensor for _, names in groups for name, tensor in names.items()}
    for name, expected in below(f"{case}/g10/", stored).items():
        assert relative_error(tensors[name].grad, expected) < 1e-5, name


def test_official_regulariser_in_double(vectors):
    """The printed values are float32 sums; the float64 formula agrees within rounding."""
    stored = vectors("shared_basis/regulariser.npz")
    for kind, include_unique, printed in [("single", True, 94.826302), ("single", False, 0.005797), ("double", True, 45.989834)]:
        stacks = [official_group(stored, kind, stage)[0].double() for stage in (1, 2, 3)]
        assert orthogonality(stacks, include_unique).item() == pytest.approx(printed, rel=1e-7, abs=5e-7)


def official_state(module):
    state = {
        "shared_basis.weight": module.basis.weight,
        "basis_conv2.weight": module.unique,
        "coeff_conv2.weight": module.coefficients,
    }
    return state | {f"basis_bn2.{name}": tensor for name, tensor in module.norm.state_dict().items()}


def test_load_official():
    source, target = SharedBasisConv(6, 8).eval(), SharedBasisConv(6, 8).eval()
    source.norm.running_mean.normal_()
    target.load_official(official_state(source))
    x = torch.randn(2, 6, 5, 7)
    assert torch.equal(target(x), source(x))


@pytest.mark.parametrize(
    "change", [{"fc.weight": torch.zeros(1)}, {"coeff_conv2.weight": None}, {"basis_conv1.weight": torch.zeros(1)}]
)
def test_load_official_rejects_other_names(change):
    module = SharedBasisConv(6, 8)
    state = {name: tensor for name, tensor in (official_state(module) | change).items() if tensor is not None}
    with pytest.raises(KeyError, match="the weights of a factored convolution are"):
        module.load_official(state)
