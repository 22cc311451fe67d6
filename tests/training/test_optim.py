"""Learning-rate schedules and optimizers."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from bench.training.optim import schedule
from tests.training.small import TINY


def rates(protocol, epochs, steps=10, lr=1.0):
    optimizer, scheduler = schedule(nn.Linear(2, 2), protocol, lr, epochs, steps)
    found = []
    for step in range(epochs * steps):
        found.append(optimizer.param_groups[0]["lr"])
        scheduler.step_update(step + 1)
    return [*found, optimizer.param_groups[0]["lr"]]


def test_cosine_increases_in_the_warm_up_and_decreases_to_zero():
    found = rates(replace(TINY, warmup=2), 10)
    assert found[0] == pytest.approx(0.01)
    assert found[:20] == sorted(found[:20]) and found[20:] == sorted(found[20:], reverse=True)
    assert found[10] == pytest.approx((1 + 0.01) / 2)
    assert found[50] == pytest.approx(0.5) and found[100] == pytest.approx(0, abs=1e-6)


def test_warm_up_is_at_most_half_of_the_epochs():
    found = rates(replace(TINY, warmup=20), 4)
    assert found[:20] == sorted(found[:20]) and found[19] > 0.95
    assert found[20] == pytest.approx(0.5)  # the value of the cosine over all steps at that epoch


def test_multistep_drops_at_its_milestones():
    found = rates(replace(TINY, schedule="multistep", milestones=(2, 3), warmup=0), 4)
    assert found[:19] == [1.0] * 19  # timm drops one step early
    assert found[20:29] == pytest.approx([0.1] * 9)
    assert found[30:] == pytest.approx([0.01] * 11)


def test_unknown_schedule_is_an_error():
    with pytest.raises(ValueError, match="schedule must be one of cosine, multistep, not 'stairs'"):
        schedule(nn.Linear(2, 2), replace(TINY, schedule="stairs"), 1.0, 2, 10)


@pytest.mark.parametrize(("name", "nesterov"), [("sgd", True), ("momentum", False)])
def test_momentum_optimiser(name, nesterov):
    optimizer, _ = schedule(nn.Linear(2, 2), replace(TINY, optimizer=name), 0.1, 2, 10)
    assert type(optimizer) is torch.optim.SGD
    assert {(group["momentum"], group["nesterov"]) for group in optimizer.param_groups} == {(0.9, nesterov)}
