"""The shared filter basis: direct sums, sharing, folding and regulariser."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import methods
from methods import Unsupported
from methods.contract import relative_error
from methods.shared_basis import SharedBasis, SharedBasisConv, orthogonality
from tests.literal.shared_basis import literal
from tests.reference import shared_basis as oracle

OPTIONS = [
    {},
    {"kernel_size": 1},
    {"kernel_size": 5, "shared_rank": 3, "unique_rank": 2},
    {"shared_rank": 0, "unique_rank": 4},
    {"shared_rank": 4, "unique_rank": 0},
    {"shared_rank": 7, "unique_rank": 3, "init": "official"},  # folded when frozen
]


def perturbed(module):
    """Set weights and running statistics to values other than 0 and 1."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for tensor in [*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())]:
            tensor.add_(0.3 * torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype))
    return module


def build(channels=6, size=(5, 7), seed=0, **options):
    torch.manual_seed(seed)
    return perturbed(SharedBasisConv(channels, size, **options).double())


def image(size=(5, 7), channels=6, batch=2):
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def arrays(module):
    weights = [module.unique, module.basis.weight, module.coefficients[:, :, 0, 0], module.norm.weight, module.norm.bias]
    return [tensor.detach().numpy() for tensor in weights]


@pytest.mark.parametrize("size", [(5, 7), (6, 6), (4, 3), (1, 8)])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_oracle_in_inference_training_and_frozen(size, options):
    module, x = build(size=size, **options), image(size)
    weights = arrays(module)
    running = [module.norm.running_mean.numpy().copy(), module.norm.running_var.numpy().copy()]
    expected = torch.from_numpy(oracle.shared_basis(x.numpy(), *weights, *running))
    assert relative_error(module.eval()(x), expected) < 1e-10
    assert relative_error(module.freeze()(x), expected) < 1e-10
    assert relative_error(module.fold()(x), expected) < 1e-10
    in_training = torch.from_numpy(oracle.shared_basis(x.numpy(), *weights))
    assert relative_error(module.train()(x), in_training) < 1e-10


def test_running_statistics_after_one_batch():
    module, x = build(), image()
    before = module.norm.running_mean.clone(), module.norm.running_var.clone()
    z = torch.conv2d(x, torch.cat([module.unique, module.basis.weight]), padding=1).detach().numpy()
    mean, _, unbiased = (torch.from_numpy(values) for values in oracle.statistics(z))
    module(x)
    assert relative_error(module.norm.running_mean, 0.9 * before[0] + 0.1 * mean) < 1e-10
    assert relative_error(module.norm.running_var, 0.9 * before[1] + 0.1 * unbiased) < 1e-10


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_gradcheck_of_every_parameter(mode):
    module, x = build(channels=2, size=(3, 4), shared_rank=2, unique_rank=1), image((3, 4), channels=2).requires_grad_()
    getattr(module, mode)()
    names, tensors = zip(*module.named_parameters())

    def forward(x, *values):
        return torch.func.functional_call(module, dict(zip(names, values)), (x,))

    assert torch.autograd.gradcheck(forward, (x, *tensors))


def test_frozen_gradient_of_the_input():
    for options in OPTIONS:
        module, x = build(**options).eval(), image().requires_grad_()
        (expected,) = torch.autograd.grad(module(x).square().sum(), x)
        (actual,) = torch.autograd.grad(module.freeze()(x).square().sum(), x)
        assert relative_error(actual, expected) < 1e-10


@pytest.mark.parametrize(
    ("channels", "kernel", "shared", "unique"), [(64, 3, 32, 1), (65, 3, 32, 2), (128, 5, 64, 2), (8, 3, 4, 1)]
)
def test_parameter_counts(channels, kernel, shared, unique):
    """Per operator: u C k^2 + (s+u) C + 2 (s+u). Per stack: s C k^2. The ranks here are the defaults."""
    own = unique * channels * kernel**2 + (shared + unique) * channels + 2 * (shared + unique)
    once = shared * channels * kernel**2
    single = SharedBasisConv(channels, 8, kernel)
    assert sum(p.numel() for p in single.parameters()) == own + once
    stack = SharedBasisConv.stack(4, channels, 8, kernel_size=kernel)
    assert sum(p.numel() for p in stack.parameters()) == 4 * own + once


def test_parameters_of_s32u1():
    """At C = 64 an operator has 18,432 shared and 576 + 2,112 + 66 unique weights; the dense convolution 36,864."""
    assert sum(p.numel() for p in SharedBasisConv(64, 8).parameters()) == 21186
    assert sum(p.numel() for p in SharedBasisConv.stack(4, 64, 8).parameters()) == 29448


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_flops_are_those_of_the_frozen_forward(options):
    module, x = build(**options).float().eval().freeze(), image(batch=1).float()
    with torch.no_grad(), FlopCounterMode(display=False) as first:
        module(x)
    with torch.no_grad(), FlopCounterMode(display=False) as second:
        module(x)
    cost = module.flops(5, 7)
    assert cost.apply == second.get_total_flops()
    assert cost.kernel == first.get_total_flops() - second.get_total_flops()


def test_flops_by_hand():
    assert SharedBasisConv(64, 8).flops(8, 10) == (0, 2 * 80 * 33 * (64 * 9 + 64))
    dense = SharedBasisConv(64, 8, shared_rank=63).flops(8, 10)
    assert dense == (2 * 64 * 64 * 64 * 9, 2 * 80 * 64 * 64 * 9)


def test_folds_if_that_costs_no_more():
    """Per pixel and output a dense convolution costs C k^2, the factors (s+u)(k^2+1): equal at s+u = 9, C = 10, k = 3."""
    for rank, folded in [(8, False), (9, True), (10, True)]:
        module = SharedBasisConv(10, 6, shared_rank=rank - 1, unique_rank=1).freeze()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module(torch.randn(1, 10, 6, 6))
            module(torch.randn(1, 10, 6, 6))
        assert (module.flops(6, 6).kernel > 0) is folded
        assert counter.get_total_flops() == module.flops(6, 6).kernel + 2 * module.flops(6, 6).apply


def test_fold_is_independent_of_the_module():
    module, x = build().eval(), image()
    expected = module(x)
    folded = module.fold()
    assert type(folded) is nn.Conv2d and folded.weight.dtype == torch.float64 and folded.weight.requires_grad
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert relative_error(folded(x), expected) < 1e-12
    assert {name: tuple(t.shape) for name, t in folded.state_dict().items()} == {"weight": (6, 6, 3, 3), "bias": (6,)}


def test_fold_draws_no_random_numbers():
    module = build()
    state = torch.get_rng_state()
    module.fold()
    assert torch.equal(torch.get_rng_state(), state)


def test_kernel_is_the_impulse_response():
    module = build(kernel_size=5, size=(9, 9)).eval()
    impulse = torch.eye(6, dtype=torch.float64)[:, :, None, None] * nn.functional.pad(torch.ones(1, 1), (4, 4, 4, 4)).double()
    response = (module(impulse) - module(torch.zeros_like(impulse)))[:, :, 2:7, 2:7].flip(-2, -1)  # (C_in, C_out, K, K)
    assert relative_error(module.kernel(), response.transpose(0, 1)) < 1e-10
    assert module.kernel().requires_grad


def test_stack_shares_one_basis_and_sums_its_gradient():
    torch.manual_seed(0)
    stack = perturbed(SharedBasisConv.stack(3, 6, (5, 7)).double())
    assert len({id(op.basis.weight) for op in stack}) == 1 and stack[0].basis.users == 3
    assert len({id(op.unique) for op in stack}) == 3
    apart = [copy.deepcopy(op) for op in stack]

    def run(operators):
        y = image()
        for op in operators:
            y = torch.tanh(op(y))
        y.square().sum().backward()

    run(stack)
    run(apart)
    assert relative_error(stack[0].basis.weight.grad, sum(op.basis.weight.grad for op in apart)) < 1e-10


def test_copies_of_a_stack_share():
    torch.manual_seed(0)
    stack = SharedBasisConv.stack(3, 6, (5, 7))
    twin = copy.deepcopy(stack)
    assert twin[0].basis is twin[1].basis is twin[2].basis is not stack[0].basis
    other = SharedBasisConv.stack(3, 6, (5, 7))
    other.load_state_dict(stack.state_dict())
    with torch.no_grad():
        other[2].basis.weight.mul_(2)
    assert torch.equal(other[0].basis.weight, 2 * stack[0].basis.weight)
    assert other.double()[0].basis.weight is other[1].basis.weight and other[1].basis.weight.dtype == torch.float64


def test_frozen_stack_follows_the_shared_basis():
    torch.manual_seed(0)
    stack, x = SharedBasisConv.stack(2, 6, (5, 7)).double(), image()
    for op in stack:
        op.freeze()
    before = stack[1](x)
    with torch.no_grad():
        stack[0].basis.weight.mul_(1.5)
    assert relative_error(stack[1](x), before) > 1e-3
    assert relative_error(stack[1](x), stack[1].train().eval()(x)) < 1e-10


def test_frozen_follows_the_running_statistics():
    module, x = build().eval(), image()
    before = module.freeze()(x)
    module.norm.running_mean.add_(0.5)
    after = module(x)
    assert relative_error(after, before) > 1e-3
    assert relative_error(after, module.train().eval()(x)) < 1e-10


def test_users_of_a_basis_are_counted():
    first, second, third = (SharedBasisConv(6, 8) for _ in range(3))
    second.share(first.basis)
    third.share(first.basis)
    assert first.basis.users == 3
    third.share(SharedBasis(3, 6, (3, 3)))
    assert first.basis.users == 2


def test_share_rejects_another_shape():
    with pytest.raises(ValueError, match=r"shape \(2, 6, 3, 3\) cannot replace \(3, 6, 3, 3\)"):
        SharedBasisConv(6, 8).share(SharedBasis(2, 6, (3, 3)))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"kernel_size": 4}, "odd"),
        ({"shared_rank": -1}, "ranks"),
        ({"shared_rank": 0, "unique_rank": 0}, "ranks"),
        ({"init": "xavier"}, "init"),
    ],
)
def test_unsupported(options, reason):
    with pytest.raises(Unsupported, match=reason):
        SharedBasisConv(8, 8, **options)


def test_the_basis_is_not_a_command_line_option():
    entry = methods.get("shared_basis").entry
    assert entry.options == {"kernel_size": 3, "shared_rank": None, "unique_rank": None, "init": "orthogonal"}


def test_initialisation():
    torch.manual_seed(0)
    module, official = SharedBasisConv(64, 8, unique_rank=4), SharedBasisConv(64, 8, unique_rank=4, init="official")
    for rows in (module.unique.flatten(1), module.basis.weight.flatten(1), official.basis.weight.flatten(1)):
        assert torch.allclose(rows @ rows.T, torch.eye(len(rows)), atol=1e-5)
    norms = official.unique.square().flatten(1).sum(1)
    assert norms.mean().item() == pytest.approx(2 * 64 / 4, rel=0.1)  # C k^2 weights of variance 2 / (u k^2)
    assert module.coefficients.std().item() == pytest.approx(math.sqrt(2 / 64), rel=0.1)
    assert module.penalty() < 1e-8


def test_penalty_of_a_stack_counts_its_basis_once():
    torch.manual_seed(0)
    stack, single = perturbed(SharedBasisConv.stack(4, 6, 8)), SharedBasisConv(6, 8)
    single.basis.load_state_dict(stack[0].basis.state_dict())
    assert sum(op.penalty().item() for op in stack) == pytest.approx(single.penalty().item(), rel=1e-6)
    assert single.penalty().item() == pytest.approx(
        10 * oracle.orthogonality([(single.basis.weight.detach().numpy(), [])]), rel=1e-5
    )
    single.penalty().backward()
    assert single.basis.weight.grad.abs().sum() > 0
    assert SharedBasisConv(6, 8, shared_rank=0, unique_rank=2).penalty() == 0


@pytest.mark.parametrize("include_unique", [False, True])
def test_orthogonality_against_the_oracle(include_unique):
    torch.manual_seed(0)
    groups = [perturbed(SharedBasisConv.stack(2, c, 8, unique_rank=2).double()) for c in (4, 6)]
    plain = [(g[0].basis.weight.detach().numpy(), [op.unique.detach().numpy() for op in g]) for g in groups]
    expected = oracle.orthogonality(plain, include_unique)
    assert orthogonality(groups, include_unique).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("options", OPTIONS[:3], ids=str)
def test_literal_form(options, mode):
    module, x = build(**options).float(), image().float()
    getattr(module, mode)()
    assert relative_error(literal(copy.deepcopy(module), x), module(x)) < 1e-5
    assert relative_error(literal(module.eval(), x), module.freeze()(x)) < 1e-5
