"""The cache of a frozen module: filled once, updated when a weight changes, cleared by `train()` and not copied."""

import copy
import pickle

import pytest
import torch
from torch import nn

from methods.contract import relative_error
from methods.conv import DepthwiseConv
from methods.parts.freezing import Freezable
from methods.shared_basis import SharedBasisConv


class Scale(Freezable):
    """x times the square of a weight plus a buffer; counts how often the square is computed."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0, 3.0]))
        self.register_buffer("offset", torch.zeros(2))
        self.calls = 0

    def forward(self, x, key=0):
        return x * self.cached(self._square, key)

    def _square(self):
        self.calls += 1
        return self.weight * self.weight + self.offset


FAMILIES = {
    "transform": lambda: DepthwiseConv(4, 8, 5, backend="fft"),
    "dense": lambda: SharedBasisConv(4, 8, shared_rank=4),
    "factored": lambda: SharedBasisConv(4, 8, shared_rank=1),
}


@pytest.fixture(params=FAMILIES)
def module(request):
    torch.manual_seed(0)
    return FAMILIES[request.param]().eval()


def image(dtype=torch.float32):
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1)).to(dtype)


def ones():
    return torch.ones(2)


def test_computed_at_every_call_until_frozen():
    scale = Scale().eval()
    scale(ones())
    scale(ones())
    assert scale.calls == 2
    scale.freeze()
    scale(ones())
    scale(ones())
    assert scale.calls == 3


def test_freeze_switches_to_inference_and_returns_the_module():
    scale = Scale().train()
    assert scale.freeze() is scale
    assert not scale.training


def test_only_the_last_key_is_cached():
    scale = Scale().freeze()
    for key in (1, 1, 2, 2, 1):
        scale(ones(), key)
    assert scale.calls == 3


def test_train_clears_the_cache_and_the_frozen_state():
    scale = Scale().freeze()
    scale(ones())
    scale.train()
    assert scale._cache is None
    scale.eval()
    scale(ones())
    scale(ones())
    assert scale.calls == 3, "a module that was trained stays frozen"


def test_train_of_a_parent_reaches_its_children():
    scale = Scale().freeze()
    parent = nn.Sequential(scale)
    scale(ones())
    parent.train()
    assert scale._cache is None and scale(ones()).requires_grad


@pytest.mark.parametrize("change", ["add", "copy", "load", "data", "optimiser"])
def test_a_changed_weight_updates_the_cache(change):
    scale = Scale().freeze()
    assert torch.equal(scale(ones()), torch.tensor([4.0, 9.0]))
    target = torch.tensor([5.0, 1.0])
    with torch.no_grad():
        if change == "add":
            scale.weight.add_(target - scale.weight)
        elif change == "copy":
            scale.weight[:] = target
        elif change == "load":
            scale.load_state_dict({"weight": target, "offset": torch.zeros(2)})
        elif change == "data":
            scale.weight.data = target
        else:
            scale.weight.grad = scale.weight - target
            torch.optim.SGD(scale.parameters(), lr=1.0).step()
    assert torch.equal(scale(ones()), torch.tensor([25.0, 1.0]))
    assert scale.calls == 2


def test_a_changed_buffer_updates_the_cache():
    scale = Scale().freeze()
    scale(ones())
    scale.offset.add_(1)
    assert torch.equal(scale(ones()), torch.tensor([5.0, 10.0]))


def test_no_gradient_for_the_weights_but_for_the_input():
    scale, x = Scale().freeze(), ones().requires_grad_()
    scale(x).sum().backward()
    assert scale.weight.grad is None
    assert torch.equal(x.grad, torch.tensor([4.0, 9.0]))


def test_inference_mode_first_and_gradients_later(module):
    x = image().requires_grad_()
    (expected,) = torch.autograd.grad(module(x).square().sum(), x)
    module.freeze()
    with torch.inference_mode():
        module(image())
    (actual,) = torch.autograd.grad(module(x).square().sum(), x)
    assert relative_error(actual, expected) < 1e-5


def test_double_after_freezing(module):
    expected = copy.deepcopy(module).double()(image(torch.float64))
    module.freeze()(image())
    y = module.double()(image(torch.float64))
    assert y.dtype == torch.float64
    assert relative_error(y, expected) < 1e-12, "the float32 kernel outlived the conversion"


def test_autocast_first_and_full_precision_later(module):
    expected = module(image())
    module.freeze()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert module(image()).dtype == torch.bfloat16
    assert module(image()).dtype == torch.float32
    assert relative_error(module(image()), expected) < 1e-5, "the cached kernel has the precision of the autocast"


def test_another_map_size(module):
    small = torch.randn(1, 4, 5, 7, generator=torch.Generator().manual_seed(2))
    expected = module(small), module(image())
    module.freeze()
    for _ in range(2):
        assert relative_error(module(small), expected[0]) < 1e-5
        assert relative_error(module(image()), expected[1]) < 1e-5


def test_deepcopy_of_a_frozen_module(module):
    expected = module(image())
    module.freeze()(image())
    twin = copy.deepcopy(module)
    assert torch.equal(twin(image()), module(image()))
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(1.5)
    changed = twin(image())
    assert relative_error(changed, expected) > 1e-2, "the copy uses the original's kernel"
    assert relative_error(changed, twin.train().eval()(image())) < 1e-5
    assert relative_error(module(image()), expected) < 1e-5, "the copy's change reached the original"


def test_deepcopy_then_train_of_the_copy_leaves_the_original_frozen():
    scale = Scale().freeze()
    scale(ones())
    copy.deepcopy(scale).train()
    scale(ones())
    assert scale.calls == 1


def test_pickle_of_a_frozen_module(module):
    module.freeze()(image())
    twin = pickle.loads(pickle.dumps(module))
    assert torch.equal(twin(image()), module(image()))


def test_the_cache_is_not_part_of_the_state(module):
    names = set(module.state_dict())
    module.freeze()(image())
    assert set(module.state_dict()) == names


def test_frozen_on_the_meta_device():
    with torch.device("meta"):
        for build in FAMILIES.values():
            frozen = build().freeze()
            assert frozen(torch.empty(2, 4, 8, 8)).is_meta and frozen(torch.empty(2, 4, 8, 8)).is_meta
