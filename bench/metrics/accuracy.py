"""Top-1 of a small host network with the operator inside, trained briefly from scratch: can the operator learn at all?

The number compares with other methods on the same task alone. On digits it does not separate them: see `bench/data/digits.py`.
The host alone, with the identity for an operator, reaches 44 % there. The weights start from the same seed on every device and the
test part is looked at once, after the last epoch. Devices, thread counts and versions of torch round differently, which moves the
accuracy as another seed does: by about a point.
"""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch.utils.data import TensorDataset

from bench import data
from bench.nets import Mixer
from bench.spec import Training
from bench.subject import Outcome, Subject
from bench.training import Epoch, top1, train


def measure(subject: Subject, protocol: Training) -> Generator[None, None, Outcome]:
    """Yields after each epoch. Raises `bench.training.Diverged` where the loss is not finite."""
    seed = subject.cell.seed
    splits = data.get(protocol.data)(protocol.res, data.SEED)
    training, held_out = (_on(part, subject.cell.device) for part in (splits.train, splits.test))
    network = build(subject, protocol, splits).to(subject.cell.device)
    epochs: list[Epoch] = []
    for epoch in train(network, training, protocol, seed):
        epochs.append(epoch)
        yield
    return Outcome(
        {
            "accuracy": top1(network, held_out),
            "accuracy_data": protocol.data,
            "accuracy_res": protocol.res,
            "accuracy_epochs": protocol.epochs,
            "accuracy_train_s": sum(epoch.seconds for epoch in epochs),
            "accuracy_seed": seed,
            "accuracy_params": sum(p.numel() for p in network.parameters() if p.requires_grad),
        },
        samples={"loss": [epoch.loss for epoch in epochs], "penalty": [epoch.penalty for epoch in epochs]},
    )


def build(subject: Subject, protocol: Training, splits: data.Splits) -> Mixer:
    """The host with the subject's operator, on the CPU, under the cell's seed."""
    torch.manual_seed(subject.cell.seed)
    in_channels = splits.train.tensors[0].shape[1]
    return Mixer(subject.operator, splits.classes, in_channels, protocol.width, protocol.depth, protocol.res)


def _on(part: TensorDataset, device: str) -> TensorDataset:
    return TensorDataset(*(tensor.to(device) for tensor in part.tensors))
