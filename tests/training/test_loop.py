"""The host network and the training loop: properties that hold for every operator."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from bench.nets import NetworkSpec
from bench.nets.mixer import Mixer
from bench.training import loop
from bench.training.loop import Diverged, top1
from bench.training.objective import penalties
from bench.training.optim import lr_scales, parameter_groups
from tests.training.small import TINY, Scale, host, images, splits, trained, trainer


def test_initial_network_is_the_same_for_every_operator():
    first = host(lambda c, r: nn.Conv2d(c, c, 7, padding=3), depth=2).state_dict()
    second = host(depth=2).state_dict()
    shared = [name for name in first if ".operator." not in name]
    assert len(shared) > 20
    assert all(torch.equal(first[name], second[name]) for name in shared)


def test_only_the_operator_mixes_pixels():
    x = images(3).tensors[0]
    shuffled = x.flatten(1)[:, torch.randperm(64, generator=torch.Generator().manual_seed(0))].view_as(x)
    blind = host(lambda c, r: nn.Identity()).eval()
    seeing = host(lambda c, r: nn.Conv2d(c, c, 3, padding=1)).eval()
    torch.testing.assert_close(blind(shuffled), blind(x))
    assert not torch.allclose(seeing(shuffled), seeing(x), atol=1e-3)


@pytest.mark.parametrize("gain", [1e-3, 1e3])
def test_scale_of_the_operator_does_not_matter(gain):
    class Loud(Scale):
        def forward(self, x):
            return gain * super().forward(x)

    x = images().tensors[0]
    torch.testing.assert_close(host(Loud)(x), host()(x), rtol=1e-2, atol=1e-2)


def test_operator_receives_its_channels_and_resolution():
    asked = []
    spec = NetworkSpec("mixer", lambda c, r: asked.append((c, r)) or nn.Identity(), classes=2, in_channels=3, resolution=(12, 8))
    Mixer(spec, width=6, depth=3, patch=2)
    assert asked == [(6, (6, 4))] * 3


def test_loss_falls_and_epochs_are_counted():
    epochs = trained(protocol=replace(TINY, epochs=20)).curve
    assert len(epochs) == 20
    assert epochs[-1].loss < 0.7 * epochs[0].loss
    assert epochs[-1].validation > 90
    assert all(epoch.penalty == 0 and epoch.seconds > 0 for epoch in epochs)


def test_epochs_of_two_trainings_may_be_interleaved(monkeypatch):
    monkeypatch.setattr(loop, "PAUSE_SECONDS", 0.0)  # yields after every step
    alone, first, second = (trainer(host(Dropped), seed=seed) for seed in (3, 3, 4))
    pauses = list(alone.run())
    assert len(pauses) == TINY.epochs * (alone.steps + 2), "one more in the validation, and one after it"
    for _ in zip(first.run(), second.run()):
        pass
    assert [epoch.loss for epoch in first.curve] == [epoch.loss for epoch in alone.curve]
    assert [epoch.loss for epoch in second.curve] != [epoch.loss for epoch in alone.curve[: len(second.curve)]]


class Dropped(Scale):
    """Draws random numbers."""

    def forward(self, x):
        return nn.functional.dropout(super().forward(x), 0.3, self.training)


def test_remainder_of_one_image_is_dropped():
    assert trained(count=17).step == TINY.epochs
    fewer = trained(count=5)
    assert (fewer.images, fewer.step) == (5, TINY.epochs)


def test_penalty_changes_the_weights():
    class Drawn(Scale):
        def penalty(self):
            return 1e3 * (self.weight - 0.5).square().sum()

    network = host(Drawn)
    epochs = trained(network, replace(TINY, epochs=40, lr=(0.02,))).curve
    assert epochs[0].penalty > 100
    assert epochs[-1].penalty < 1
    assert torch.allclose(network.blocks[0].operator.weight, torch.tensor(0.5), atol=0.02)
    assert epochs[-1].loss < 1, "the cross entropy must not hold the penalty"


def test_penalty_of_the_outermost_module_is_used_once():
    class Outer(nn.Sequential):
        def penalty(self):
            return 2 * self[0].penalty()

    class Inner(nn.Module):
        def penalty(self):
            return torch.tensor(1.0)

    assert [float(p) for p in penalties(nn.Sequential(Outer(Inner()), nn.Sequential(Inner()), nn.ReLU()))] == [2.0, 1.0]


def test_lr_scale_applies_to_the_named_parameters():
    class Slow(Scale):
        lr_scale = {"mask": 0.1}  # noqa: RUF012

    network = host(Slow)
    trained(network, replace(TINY, epochs=1, batch=32))  # one step: Adam moves by lr times the sign
    operator = network.blocks[0].operator
    moved = [(p - 1).abs().mean().item() for p in (operator.mask_sigma, operator.weight)]
    assert moved[0] == pytest.approx(0.1 * moved[1], rel=1e-2)
    assert moved[1] > 0


def test_innermost_lr_scale_takes_precedence():
    inner, outer = nn.Linear(2, 2), nn.Module()
    inner.lr_scale, outer.lr_scale, outer.net = {"bias": 0.5}, {"net": 0.1}, inner
    assert lr_scales(outer) == {inner.weight: 0.1, inner.bias: 0.5}


def test_weight_decay_excludes_operators_and_vectors():
    network = host(lambda c, r: nn.Conv2d(c, c, 3, padding=1))
    decayed = {id(p) for group in parameter_groups(network, 0.05) if group["weight_decay"] for p in group["params"]}
    names = {name for name, p in network.named_parameters() if id(p) in decayed}
    assert names == {"stem.weight", "head.weight", "blocks.0.mlp.1.weight", "blocks.0.mlp.3.weight"}
    grouped = [p for group in parameter_groups(network, 0.05) for p in group["params"]]
    assert len(grouped) == len(list(network.parameters()))


def test_decay_all_excludes_nothing():
    (group,) = parameter_groups(host(lambda c, r: nn.Conv2d(c, c, 3)), 0.05, decay_all=True)
    assert group["weight_decay"] == 0.05


class Breaks(Scale):
    """Returns NaN from a given call on."""

    calls, last = 0, 3

    def forward(self, x):
        self.calls += 1
        return super().forward(x) * (float("nan") if self.calls > self.last else 1)


@pytest.mark.parametrize("last", [3, 25])
def test_non_finite_loss_is_an_error_with_the_step(last):
    """Also if losses of later steps are read together with it."""
    network = host(type("BreaksLater", (Breaks,), {"last": last}))
    network.blocks[0].operator.train(True)
    with pytest.raises(Diverged, match=f"step {last}: cross entropy nan"):
        trained(network, replace(TINY, batch=4, epochs=9), count=240)


def test_non_finite_penalty_is_an_error():
    class Endless(Scale):
        def penalty(self):
            return torch.tensor(float("inf"))

    with pytest.raises(Diverged, match=r"step 0: .* penalty inf"):
        trained(host(Endless))


def test_top1_counts_in_evaluation_mode():
    class Constant(nn.Module):
        def forward(self, x):
            assert not self.training
            return torch.tensor([[0.0, 1.0, 0.0]]).expand(len(x), 3)

    labels = torch.tensor([1] * 270 + [0] * 30)  # more than one evaluation batch
    assert percent(Constant(), TensorDataset(torch.zeros(300, 1, 2, 2), labels)) == pytest.approx(90)


def percent(network, part):
    evaluating = top1(network, part)
    while True:
        try:
            next(evaluating)
        except StopIteration as end:
            return end.value


def test_evaluation_yields_outside_of_inference_mode(monkeypatch):
    monkeypatch.setattr(loop, "PAUSE_SECONDS", 0.0)
    part = TensorDataset(torch.zeros(600, 2), torch.zeros(600, dtype=torch.int64))
    assert [torch.is_inference_mode_enabled() for _ in top1(nn.Identity(), part)] == [False] * 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_logits_are_an_error(value):
    logits = torch.zeros(300, 2)
    logits[280, 1] = value
    with pytest.raises(Diverged, match="evaluation: logits are not finite"):
        percent(nn.Identity(), TensorDataset(logits, torch.ones(300, dtype=torch.int64)))


def test_weight_average_is_evaluated():
    protocol = replace(TINY, ema=0.5, epochs=3)
    made = trainer(protocol=protocol)
    own = [{name: value.clone() for name, value in made.network.state_dict().items()}]
    for _ in made.probe():
        own.append({name: value.clone() for name, value in made.network.state_dict().items()})
    weight = own[1]["stem.weight"]  # the first update copies the weights
    for update, state in enumerate(own[2:], 1):
        decay = min(0.5, 1 - (1 + update) ** (-2 / 3))
        weight = decay * weight + (1 - decay) * state["stem.weight"]
    torch.testing.assert_close(made.result.stem.weight, weight)
    assert made.result is not made.network
    done = trained(protocol=protocol)
    assert done.curve[-1].validation == percent(done.result, splits().validation)
    assert not torch.equal(done.result.stem.weight, done.network.stem.weight)


def test_long_average_follows_a_short_training():
    done = trained(protocol=replace(TINY, ema=0.9999, epochs=20))
    plain = trained(protocol=replace(TINY, epochs=20))
    assert done.curve[-1].loss == plain.curve[-1].loss, "the average does not change the training"
    assert done.curve[-1].validation > 90
