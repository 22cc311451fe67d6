"""Top-1 on held-out images of a network with the operator inside, trained from scratch under a named protocol.

The number compares with others of the same protocol alone: the same data, network and schedule. Every choice is made on the
validation part, which is split from the training data; the test part is looked at once, after the last epoch. Where the protocol
names several learning rates each is tried for a few epochs, the same for every method, and the best one trains. Devices, thread
counts and versions of torch round differently, which moves the accuracy as another seed does.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import nn
from torch.utils.data import TensorDataset

from bench import data
from bench.data import Splits, Wish
from bench.nets.resolution import adapted, ways
from bench.spec import Training, protocol_name
from bench.subject import Outcome, Subject, autocast
from bench.torch_state import seed
from bench.training import ranks
from bench.training.batches import length
from bench.training.loop import Diverged, Trainer, top1

PROBE_SECONDS = 2.0  # of training, from which it follows how many epochs a budget of seconds holds
SIGNIFICANT = 400  # characters of a reason


def measure(subject: Subject, protocol: Training) -> Generator[None, None, Outcome]:
    """Yields every few seconds. Raises `bench.training.loop.Diverged` where the loss is not finite."""
    task = Task(subject, protocol)
    tried: dict[float, float | None] = {}
    if len(protocol.lr) > 1:
        tried = yield from task.search()
    lr = max(tried, key=lambda rate: tried[rate] or 0.0) if tried else protocol.lr[0]
    epochs = protocol.epochs if protocol.seconds is None else (yield from task.affordable(lr, protocol.seconds))
    trainer = task.trainer(lr, epochs, subject.checkpoint)
    yield from trainer.run()
    accuracy = top1(trainer.result, task.splits.test, subject.cell.device, autocast(subject.cell))
    evals = dict(task.elsewhere(trainer.result))
    if subject.checkpoint is not None:
        subject.checkpoint.unlink(missing_ok=True)
    return Outcome(task.values(trainer, accuracy, lr), rounds=curves(trainer, tried), evals=evals)


@dataclass
class Task:
    """One method's training: the same data for all, a network of its own."""

    subject: Subject
    protocol: Training

    @cached_property
    def splits(self) -> Splits:
        return self.at(self.protocol.res)

    def at(self, res: int) -> Splits:
        """The data at a resolution, on the device where they are in memory."""
        wish = Wish(res, self.protocol.augment, self.protocol.erase)
        splits = data.load(self.protocol.data, wish)
        train, validation, test = (placed(part, self.subject.cell.device) for part in splits[:3])
        return splits._replace(train=train, validation=validation, test=test)

    def network(self) -> nn.Module:
        """The network, begun from the cell's seed: on every device the same weights."""
        seed(self.subject.cell)
        size = (self.protocol.res, self.protocol.res)
        return self.subject.network(self.splits.classes, self.splits.channels, size).to(self.subject.cell.device)

    def trainer(self, lr: float, epochs: int, path: Path | None = None) -> Trainer:
        cell = self.subject.cell
        return Trainer(self.network(), self.splits, self.protocol, cell.seed, lr, epochs, autocast(cell), path)

    def search(self) -> Generator[None, None, dict[float, float | None]]:
        """Validation accuracy of each learning rate after a few epochs, None where it diverged; raises `Diverged` if all did."""
        found: dict[float, float | None] = {}
        for lr in self.protocol.lr:
            trainer = self.trainer(lr, self.protocol.search_epochs)
            try:
                yield from trainer.run()
                found[lr] = trainer.curve[-1].validation
            except Diverged as error:
                found[lr], last = None, error
        if all(accuracy is None for accuracy in found.values()):
            raise last
        return found

    def affordable(self, lr: float, budget: float) -> Generator[None, None, int]:
        """Epochs that fit a budget of seconds, one at least, by the speed of a first few steps."""
        trainer = self.trainer(lr, 1)
        begin, steps = time.perf_counter(), 0
        for _ in trainer.probe():
            steps, spent = trainer.step, time.perf_counter() - begin
            if spent > min(PROBE_SECONDS, budget / 4) and steps > 1:
                break
        yield
        return max(1, int(budget / (spent / steps * trainer.steps)))

    def elsewhere(self, network: nn.Module) -> Iterator[tuple[str, float | str]]:
        """Accuracy at every other resolution, in each manner in which the operators can meet it, or the reason for none."""
        for res in self.protocol.eval_res:
            test = self.at(res).test if res != self.protocol.res else self.splits.test
            for way in ways(network) if res != self.protocol.res else ("",):
                moved = adapted(network, way) if res != self.protocol.res else network
                try:
                    accuracy: float | str = top1(moved, test, self.subject.cell.device, autocast(self.subject.cell))
                except (RuntimeError, ValueError, NotImplementedError) as error:  # an operator of one size
                    accuracy = " ".join(str(error).split())[:SIGNIFICANT] or type(error).__name__
                yield f"{res} {way}".strip(), accuracy

    def values(self, trainer: Trainer, accuracy: float, lr: float) -> dict[str, float | str | None]:
        seconds = sum(epoch.seconds for epoch in trainer.curve)
        images = len(trainer.curve) * trainer.steps * min(self.protocol.batch, length(self.splits.train))
        cell = self.subject.cell
        return {
            "accuracy": accuracy,
            "accuracy_validation": trainer.curve[-1].validation,
            "accuracy_floor": self.splits.floor,
            "accuracy_floor_of": self.splits.floor_of,
            "accuracy_data": self.protocol.data,
            "accuracy_res": self.protocol.res,
            "accuracy_network": cell.network,
            "accuracy_protocol": protocol_name(cell, self.protocol),
            "accuracy_epochs": len(trainer.curve),
            "accuracy_lr": lr,
            "accuracy_train_s": seconds,
            "accuracy_images_s": images / seconds,
            "accuracy_seed": cell.seed,
            "accuracy_params": sum(p.numel() for p in trainer.network.parameters() if p.requires_grad),
            "accuracy_processes": ranks.world(),
        }


def curves(trainer: Trainer, tried: Mapping[float, float | None]) -> dict[str, list[float | None]]:
    """What is kept of every epoch, and of the search where there was one."""
    kept = zip(*trainer.curve)
    found: dict[str, list[float | None]] = {name: list(values) for name, values in zip(trainer.curve[0]._fields, kept)}
    if tried:
        found |= {"search_lr": list(tried), "search_validation": list(tried.values())}
    return found


def placed(part: data.Images, device: str) -> data.Images:
    return TensorDataset(*(tensor.to(device) for tensor in part.tensors)) if isinstance(part, TensorDataset) else part
