"""Top-1 on held-out images of a network with the operator inside, trained from scratch under a named protocol.

The number compares with others of the same protocol alone: the same data, network and schedule. Every choice is made on the
validation part, which is split from the training data; the test part is looked at once, after the last epoch. Where the protocol
names several learning rates each is tried for a few epochs, the same for every method, and the best one trains. Devices, thread
counts and versions of torch round differently, which moves the accuracy as another seed does.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import nn
from torch.utils.data import TensorDataset

from bench import data
from bench.data import DataSpec, Splits
from bench.nets.resolution import adapted, ways
from bench.spec import Training, protocol_name
from bench.system.torch_state import seed
from bench.training import distributed as ranks
from bench.training import search
from bench.training.batches import length
from bench.training.checkpoint import Checkpoint
from bench.training.loop import Diverged, Trainer, top1
from bench.training.weights import WeightSaver
from bench.workload.build import Measurement, Workload, autocast
from bench.workload.failures import diagnose
from methods import Unsupported

Evals = dict[str, float | str]  # resolution and way -> percent, or "status: detail" where there is none


def measure(workload: Workload, protocol: Training) -> Generator[None, None, Measurement]:
    """Yields every few seconds. Raises `bench.training.loop.Diverged` where the loss or a logit is not finite."""
    task = Task(workload, protocol, Checkpoint(workload.checkpoint, workload.save_every))
    try:
        outcome = yield from task.outcome()
    except Diverged:
        task.checkpoint.remove()  # it would diverge again
        raise
    task.checkpoint.remove()
    return outcome


def reason(error: Exception) -> str:
    """Status and detail as "status: detail"; a ValueError tells that an operator or a data set is of one size."""
    return ": ".join(diagnose(Unsupported(str(error)) if isinstance(error, ValueError) else error))


@dataclass
class Task:
    """One method's training: the same data for all, a network of its own."""

    workload: Workload
    protocol: Training
    checkpoint: Checkpoint

    def outcome(self) -> Generator[None, None, Measurement]:
        """Choose, train, and look at the test part."""
        images = length(self.splits.validation)  # loads the data, which may take long
        yield
        found: list[search.Try] = []
        if len(self.protocol.lr) > 1:
            found = yield from search.tries(self.trainer, self.protocol, self.checkpoint)
        lr, epochs = self.protocol.lr[0], self.protocol.epochs
        if found:
            lr = search.best(found, images)
        if self.protocol.seconds is not None:
            epochs = yield from search.affordable(self.trainer, lr, self.protocol.seconds, self.checkpoint)
        trainer = self.trainer(lr, epochs)
        yield from self.kept(trainer)
        yield
        accuracy = yield from self.top1(trainer.result, self.splits.test)
        yield
        evals = yield from self.elsewhere(trainer.result, accuracy)
        return Measurement(self.values(trainer, accuracy), rounds=curves(trainer, found), evals=evals)

    def kept(self, trainer: Trainer) -> Generator[None, None, None]:
        """Train, and keep the weights that were asked for."""
        keeper = WeightSaver(self.workload, self.protocol, self.splits)
        keeper.look(trainer)
        for _ in trainer.run():
            keeper.look(trainer)
            yield

    @cached_property
    def splits(self) -> Splits:
        """The data at the resolution of the training, on the device where they are in memory."""
        splits = self.at(self.protocol.res)
        train, validation, test = (placed(part, self.workload.cell.device) for part in splits[:3])
        return splits._replace(train=train, validation=validation, test=test)

    def at(self, res: int) -> Splits:
        return data.load(self.protocol.data, DataSpec(res, self.protocol.augment, self.protocol.erase))

    def network(self) -> nn.Module:
        """The network, begun from the cell's seed: on every device the same weights."""
        seed(self.workload.cell)
        size = (self.protocol.res, self.protocol.res)
        return self.workload.network(self.splits.classes, self.splits.channels, size).to(self.workload.cell.device)

    def trainer(self, lr: float, epochs: int) -> Trainer:
        cell = self.workload.cell
        return Trainer(self.network(), self.splits, self.protocol, cell.seed, lr, epochs, autocast(cell), self.checkpoint)

    def top1(self, network: nn.Module, part: data.Images) -> Generator[None, None, float]:
        return top1(network, part, self.workload.cell.device, autocast(self.workload.cell))

    def elsewhere(self, network: nn.Module, accuracy: float) -> Generator[None, None, Evals]:
        """Accuracy at every resolution asked for, in each manner in which the operators can meet it, or the reason for none."""
        found: Evals = {}
        for res in self.protocol.eval_res:
            if res == self.protocol.res:
                found[str(res)] = accuracy
            else:
                yield from self.moved(network, res, found)
        return found

    def moved(self, network: nn.Module, res: int, found: Evals) -> Generator[None, None, None]:
        """Adds to `found` the accuracy at another resolution in each manner. Whatever is raised, the training counts."""
        manners = {way: f"{res} {way}".strip() for way in ways(network)}
        try:
            test = placed(self.at(res).test, self.workload.cell.device)
        except Exception as error:
            found |= dict.fromkeys(manners.values(), reason(error))
            return
        for way, key in manners.items():
            yield
            try:
                found[key] = yield from self.top1(adapted(network, way), test)
            except Exception as error:
                found[key] = reason(error)

    def values(self, trainer: Trainer, accuracy: float) -> dict[str, float | str | None]:
        seconds = sum(epoch.seconds for epoch in trainer.curve)
        cell = self.workload.cell
        return {
            "accuracy": accuracy,
            "accuracy_validation": trainer.curve[-1].validation,
            "accuracy_images": length(self.splits.test),
            "accuracy_floor": self.splits.floor,
            "accuracy_floor_of": self.splits.floor_of,
            "accuracy_data": self.protocol.data,
            "accuracy_res": self.protocol.res,
            "accuracy_network": cell.network,
            "accuracy_protocol": protocol_name(cell, self.protocol),
            "accuracy_epochs": len(trainer.curve),
            "accuracy_lr": trainer.lr,
            "accuracy_train_s": seconds,
            "accuracy_images_s": trainer.step * trainer.images / seconds,
            "accuracy_seed": cell.seed,
            "accuracy_params": sum(p.numel() for p in trainer.network.parameters() if p.requires_grad),
            "accuracy_processes": ranks.world(),
        }


def curves(trainer: Trainer, found: Sequence[search.Try]) -> dict[str, list[float | None]]:
    """What is kept of every epoch, and of the search where there was one."""
    epochs: dict[str, list[float | None]] = {
        name: list(values) for name, values in zip(trainer.curve[0]._fields, zip(*trainer.curve))
    }
    if not found:
        return epochs
    tried = {f"search_{name}": [getattr(one, name) for one in found] for name in ("lr", "validation", "loss")}
    return epochs | tried


def placed(part: data.Images, device: str) -> data.Images:
    return TensorDataset(*(tensor.to(device) for tensor in part.tensors)) if isinstance(part, TensorDataset) else part
