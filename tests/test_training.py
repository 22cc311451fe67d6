"""The host network and the training loop: what they promise to every operator."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from bench.nets import Mixer
from bench.spec import Training
from bench.training import Diverged, lr_scales, parameter_groups, penalties, top1, train

TINY = Training(res=8, width=4, depth=1, batch=16, epochs=2)


class Scale(nn.Module):
    """An operator of two parameters with equal gradients."""

    def __init__(self, channels, resolution):
        super().__init__()
        self.mask_sigma = nn.Parameter(torch.ones(channels, 1, 1))
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x):
        return x * (self.mask_sigma + self.weight) + x.roll(1, -1)


def images(count=32, seed=0):
    """Noise, brighter by one in the second class."""
    labels = torch.arange(count) % 2
    noise = torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(noise + labels.view(-1, 1, 1, 1), labels)


def host(operator=Scale, depth=1, seed=0):
    torch.manual_seed(seed)
    return Mixer(operator, classes=2, in_channels=1, width=4, depth=depth, res=8)


def test_the_host_is_the_same_for_every_operator():
    first = host(lambda c, r: nn.Conv2d(c, c, 7, padding=3), depth=2).state_dict()
    second = host(depth=2).state_dict()
    shared = [name for name in first if ".operator." not in name]
    assert len(shared) > 20
    assert all(torch.equal(first[name], second[name]) for name in shared)


def test_only_the_operator_looks_beyond_a_pixel():
    x = images(3).tensors[0]
    shuffled = x.flatten(1)[:, torch.randperm(64, generator=torch.Generator().manual_seed(0))].view_as(x)
    blind = host(lambda c, r: nn.Identity()).eval()
    seeing = host(lambda c, r: nn.Conv2d(c, c, 3, padding=1)).eval()
    torch.testing.assert_close(blind(shuffled), blind(x))
    assert not torch.allclose(seeing(shuffled), seeing(x), atol=1e-3)


@pytest.mark.parametrize("gain", [1e-3, 1e3])
def test_the_operators_scale_does_not_matter(gain):
    class Loud(Scale):
        def forward(self, x):
            return gain * super().forward(x)

    x = images().tensors[0]
    torch.testing.assert_close(host(Loud)(x), host()(x), rtol=1e-2, atol=1e-2)


def test_operator_is_told_its_channels_and_resolution():
    asked = []
    Mixer(lambda c, r: asked.append((c, r)) or nn.Identity(), classes=2, in_channels=3, width=6, depth=3, res=12)
    assert asked == [(6, (12, 12))] * 3


def test_loss_falls_and_epochs_are_counted():
    epochs = list(train(host(), images(), replace(TINY, epochs=20), seed=0))
    assert len(epochs) == 20
    assert epochs[-1].loss < 0.7 * epochs[0].loss
    assert all(epoch.penalty == 0 and epoch.seconds > 0 for epoch in epochs)


def test_epochs_of_two_trainings_may_be_interleaved():
    alone = [epoch.loss for epoch in train(host(), images(), TINY, seed=3)]
    both = zip(train(host(), images(), TINY, seed=3), train(host(), images(), TINY, seed=4))
    assert [first.loss for first, _ in both] == alone


def test_a_remainder_of_one_image_is_left_out():
    epochs = list(train(host(), images(17), TINY, seed=0))
    assert all(epoch.loss > 0 for epoch in epochs)
    assert len(list(train(host(), images(5), TINY, seed=0))) == TINY.epochs


def test_penalty_draws_the_weights():
    class Drawn(Scale):
        def penalty(self):
            return 1e3 * (self.weight - 0.5).square().sum()

    network = host(Drawn)
    epochs = list(train(network, images(), replace(TINY, epochs=40, lr=0.02), seed=0))
    assert epochs[0].penalty > 100
    assert epochs[-1].penalty < 1
    assert torch.allclose(network.blocks[0].operator.weight, torch.tensor(0.5), atol=0.02)
    assert epochs[-1].loss < 1, "the cross entropy must not hold the penalty"


def test_penalty_is_asked_of_the_outermost_module_once():
    class Outer(nn.Sequential):
        def penalty(self):
            return 2 * self[0].penalty()

    class Inner(nn.Module):
        def penalty(self):
            return torch.tensor(1.0)

    assert [float(p) for p in penalties(nn.Sequential(Outer(Inner()), nn.Sequential(Inner()), nn.ReLU()))] == [2.0, 1.0]


def test_lr_scale_slows_the_named_parameters():
    class Slow(Scale):
        lr_scale = {"mask": 0.1}  # noqa: RUF012

    network = host(Slow)
    list(train(network, images(), replace(TINY, epochs=1, batch=32), seed=0))  # one step: Adam moves by lr times the sign
    operator = network.blocks[0].operator
    moved = [(p - 1).abs().mean().item() for p in (operator.mask_sigma, operator.weight)]
    assert moved[0] == pytest.approx(0.1 * moved[1], rel=1e-2)
    assert moved[1] > 0


def test_the_inner_lr_scale_counts():
    inner, outer = nn.Linear(2, 2), nn.Module()
    inner.lr_scale, outer.lr_scale, outer.net = {"bias": 0.5}, {"net": 0.1}, inner
    assert lr_scales(outer) == {inner.weight: 0.1, inner.bias: 0.5}


def test_weight_decay_spares_operators_and_vectors():
    network = host(lambda c, r: nn.Conv2d(c, c, 3, padding=1))
    decayed = {id(p) for group in parameter_groups(network, 0.05) if group["weight_decay"] for p in group["params"]}
    names = {name for name, p in network.named_parameters() if id(p) in decayed}
    assert names == {"stem.weight", "head.weight", "blocks.0.mlp.1.weight", "blocks.0.mlp.3.weight"}
    grouped = [p for group in parameter_groups(network, 0.05) for p in group["params"]]
    assert len(grouped) == len(list(network.parameters()))


def test_a_non_finite_loss_is_an_error_that_names_the_step():
    class Breaks(Scale):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return super().forward(x) * (float("nan") if self.calls > 3 else 1)

    with pytest.raises(Diverged, match="step 3: cross entropy nan"):
        list(train(host(Breaks), images(), TINY, seed=0))


def test_a_non_finite_penalty_is_an_error():
    class Breaks(Scale):
        def penalty(self):
            return torch.tensor(float("inf"))

    with pytest.raises(Diverged, match=r"step 0: .* penalty inf"):
        list(train(host(Breaks), images(), TINY, seed=0))


def test_top1_counts_in_evaluation_mode():
    class Constant(nn.Module):
        def forward(self, x):
            assert not self.training
            return torch.tensor([[0.0, 1.0, 0.0]]).expand(len(x), 3)

    labels = torch.tensor([1] * 270 + [0] * 30)  # more than one evaluation batch
    assert top1(Constant(), TensorDataset(torch.zeros(300, 1, 2, 2), labels)) == pytest.approx(90)
