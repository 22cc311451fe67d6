"""The training step: mixing, smoothing, clipping, penalties, precision and memory layout."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import methods
from bench.training.optim import criterion, mixing
from tests.training.small import TINY, Scale, host, images, trained, trainer


@pytest.mark.parametrize("setting", ["mixup", "cutmix"])
def test_images_are_mixed_with_their_labels(setting):
    protocol = replace(TINY, smoothing=0.1, **{setting: 1.0})
    mix = mixing(protocol, 2, 16)
    torch.manual_seed(0)
    x, labels = images(16).tensors
    mixed_images, mixed_labels = mix(x.clone(), labels)
    assert mixed_labels.shape == (16, 2) and not torch.equal(mixed_images, x)
    assert mixed_labels.sum(1).tolist() == pytest.approx([1.0] * 16)
    assert mixed_labels.min() >= 0.05 - 1e-6, "smoothed here"
    logits = torch.tensor([[3.0, 0.0]]).expand(16, 2)
    expected = -(mixed_labels * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(criterion(protocol)(logits, mixed_labels), expected)
    assert trained(protocol=replace(protocol, epochs=3)).curve[-1].loss > 0


def test_odd_batch_cannot_be_mixed():
    with pytest.raises(ValueError, match="an even batch in each process, not 15"):
        trainer(protocol=replace(TINY, mixup=0.5, batch=15))
    with pytest.raises(ValueError, match="not 5"):
        trainer(protocol=replace(TINY, mixup=0.5), count=5)


def test_labels_are_smoothed():
    logits, labels = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
    plain, smooth = (criterion(replace(TINY, smoothing=s))(logits, labels) for s in (0.0, 0.2))
    logs = logits.log_softmax(1)[0]
    assert float(plain) == pytest.approx(-float(logs[0]))
    assert float(smooth) == pytest.approx(-0.9 * float(logs[0]) - 0.1 * float(logs[1]))


def vector(network):
    return nn.utils.parameters_to_vector(network.parameters()).detach().clone()


def test_gradient_is_clipped():
    moves = []
    for clip in (0.0, 1e-3):
        network = host()
        before = vector(network)
        protocol = replace(TINY, optimizer="momentum", weight_decay=0.0, clip=clip, lr=(1.0,), epochs=1, batch=32, warmup=0)
        trained(network, protocol)
        moves.append(float((vector(network) - before).norm()))
    assert moves[1] == pytest.approx(1e-3, rel=1e-2) and moves[0] > 1e-2  # plain momentum's first step is lr times the gradient


def test_channels_last_changes_only_the_layout():
    operator = lambda c, r: nn.Conv2d(c, c, 3, padding=1)  # noqa: E731
    plain, last = (trained(host(operator), replace(TINY, channels_last=one)) for one in (False, True))
    weight = last.network.blocks[0].operator.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    assert [e.loss for e in last.curve] == pytest.approx([e.loss for e in plain.curve], rel=1e-3)


@pytest.mark.parametrize("name", ["niff", "dynamic_filter"])
def test_bf16_training_computes_transforms_in_float32(name):
    """Torch's CPU transforms do not support bfloat16, so they run in float32; the rest of the network is cast."""
    seen = set()
    network = host(methods.get(name).build)
    network.head.register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    cast = lambda: torch.autocast("cpu", torch.bfloat16)  # noqa: E731
    done = trained(network, replace(TINY, epochs=4, dtype="bf16"), cast=cast)
    assert seen == {torch.bfloat16}
    assert all(torch.isfinite(p).all() and p.dtype == torch.float32 for p in network.parameters())
    assert done.curve[-1].loss < done.curve[0].loss


def test_penalty_is_not_rounded_to_bf16():
    class Fine(Scale):
        def penalty(self):
            return (self.weight.flatten()[None] @ self.weight.flatten()[:, None]).sum() * 1.001

    def cast():
        return torch.autocast("cpu", torch.bfloat16)

    made = trainer(host(Fine), cast=cast)
    next(made.probe())
    assert made.penalty == pytest.approx(4 * 1.001, rel=1e-6)
