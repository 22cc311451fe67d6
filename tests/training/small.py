"""A small network, small data and a short training."""

from contextlib import nullcontext

import torch
from torch import nn
from torch.utils.data import TensorDataset

from bench.data import Splits
from bench.nets import NetworkSpec
from bench.nets.mixer import Mixer
from bench.spec import Training
from bench.training.loop import Trainer, TrainerConfig

TINY = Training(res=8, batch=16, epochs=2)


class Scale(nn.Module):
    """An operator of two parameters with equal gradients."""

    def __init__(self, channels, resolution):
        super().__init__()
        self.mask_sigma = nn.Parameter(torch.ones(channels, 1, 1))
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x):
        return x * (self.mask_sigma + self.weight) + x.roll(1, -1)


def images(count=32, seed=0):
    """Return noise images, with values larger by one in the second class."""
    labels = torch.arange(count) % 2
    noise = torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(noise + labels.view(-1, 1, 1, 1), labels)


def splits(count=32):
    return Splits(images(count), images(32, 1), images(32, 2), classes=2, channels=1, trivial_accuracy=50.0)


def host(operator=Scale, depth=1, seed=0):
    torch.manual_seed(seed)
    return Mixer(NetworkSpec("mixer", operator, classes=2, in_channels=1, resolution=(8, 8)), width=4, depth=depth)


def trainer(network=None, protocol=TINY, seed=0, count=32, lr=None, cast=nullcontext):
    config = TrainerConfig(seed, lr or protocol.lr[0], protocol.epochs, cast)
    return Trainer(network or host(), splits(count), protocol, config)


def trained(*args, **kwargs):
    made = trainer(*args, **kwargs)
    list(made.run())
    return made
