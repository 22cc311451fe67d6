"""Top-1 accuracy on held-out images of a network with the operator, trained from scratch under a named protocol.

Accuracies are comparable only within one protocol: the same data, network and schedule. All choices use the validation split, which
is taken from the training data. The test split is evaluated once, after the last epoch. If the protocol has several learning rates,
each is tried for the same few epochs, and the best one is used for the training. Devices, thread counts and versions of torch have
different rounding errors, which change the accuracy as much as another seed does.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import nn
from torch.utils.data import TensorDataset

from bench import data
from bench.columns import Column, Metric
from bench.data import DataSpec, Splits
from bench.nets.resolution import adapt, ways
from bench.spec import Evaluation, Training, protocol_name
from bench.system.torch_state import seed
from bench.training import distributed, search
from bench.training.batches import length
from bench.training.checkpoint import Checkpoint
from bench.training.loop import Diverged, Trainer, TrainerConfig, top1
from bench.training.weights import WeightSaver
from bench.workload.build import Measurement, Workload, autocast
from bench.workload.failures import diagnose
from methods import Unsupported

METRIC = Metric(
    columns=(
        Column(
            "accuracy",
            unit="%",
            better="higher",
            heading="accuracy, %",
            meaning="top-1 accuracy on the test split: mean over seeds",
        ),
        Column("accuracy_lo", unit="%", meaning="lower end of the 95% confidence interval (t, over seeds); empty with one seed"),
        Column("accuracy_hi", unit="%", meaning="upper end of the 95% confidence interval"),
        Column("accuracy_half", unit="%", meaning="half-width of the interval in points, before clipping to 0 and 100"),
        Column("accuracy_seeds", meaning="number of seeds (of the weights and of the order of images)"),
        Column("accuracy_protocol", unit="name", meaning="training protocol; accuracies are comparable within one protocol only"),
        Column("accuracy_data", unit="name", meaning="data set"),
        Column("accuracy_res", unit="px", meaning="training resolution; may differ from that of the latency cell"),
        Column("accuracy_network", unit="name", meaning="network around the operator"),
        Column("accuracy_floor", unit="%", meaning="trivial accuracy: accuracy of a trivial predictor"),
        Column("accuracy_images", meaning="images of the test split, the same for all seeds"),
        Column("accuracy_floor_of", unit="name", meaning="trivial predictor: the largest class, or a shortcut"),
        Column("accuracy_validation", unit="%", better="higher", meaning="accuracy on the validation split after the last epoch"),
        Column("accuracy_lr", meaning="learning rate; the most frequent over seeds if it was tuned per seed"),
        Column("accuracy_epochs", meaning="number of epochs"),
        Column("accuracy_train_s", unit="s", better="lower", meaning="time of the training steps of the whole network"),
        Column("accuracy_images_s", unit="1/s", better="higher", meaning="training images per second"),
        Column("accuracy_params", meaning="trainable parameters of the whole network with the classes of the data set"),
        Column("accuracy_processes", meaning="number of training processes"),
    ),
    ranked=False,
    calls=0,
    typical_seconds=12.0,
    depends_on=("kernels", "timm"),  # timm provides the optimiser and the schedule
    change="points",
)


def measure(workload: Workload, protocol: Training) -> Generator[None, None, Measurement]:
    """Train and evaluate. Yields every few seconds.

    Raises `bench.training.loop.Diverged` if the loss or a logit is not finite.
    """
    task = Task(workload, protocol, Checkpoint(workload.checkpoint, workload.save_every))
    try:
        outcome = yield from task.outcome()
    except Diverged:
        task.checkpoint.remove()  # a resumed training would diverge again
        raise
    task.checkpoint.remove()
    return outcome


def reason(error: Exception) -> tuple[str, str]:
    """Return status and detail of an exception. A ValueError means that an operator or data set does not support the size."""
    return diagnose(Unsupported(str(error)) if isinstance(error, ValueError) else error)


@dataclass
class Task:
    """The training and evaluation of one method."""

    workload: Workload
    protocol: Training
    checkpoint: Checkpoint

    def outcome(self) -> Generator[None, None, Measurement]:
        """Select the learning rate and the epochs, train, and evaluate the test split."""
        images = length(self.splits.validation)  # loads the data, which may take minutes
        yield
        trials: list[search.Trial] = []
        if len(self.protocol.lr) > 1:
            trials = yield from search.try_rates(self.trainer, self.protocol, self.checkpoint)
        lr, epochs = self.protocol.lr[0], self.protocol.epochs
        if trials:
            lr = search.best(trials, images)
        if self.protocol.seconds is not None:
            epochs = yield from search.affordable(self.trainer, lr, self.protocol.seconds, self.checkpoint)
        trainer = self.trainer(lr, epochs)
        yield from self.train(trainer)
        yield
        accuracy = yield from self.top1(trainer.result, self.splits.test)
        yield
        evals = yield from self.evaluations(trainer.result, accuracy)
        return Measurement(self.values(trainer, accuracy), rounds=curves(trainer, trials), evals=evals)

    def train(self, trainer: Trainer) -> Generator[None, None, None]:
        """Train, and save the requested weights."""
        saver = WeightSaver(self.workload, self.protocol, self.splits)
        saver.update(trainer)
        for _ in trainer.run():
            saver.update(trainer)
            yield

    @cached_property
    def splits(self) -> Splits:
        """The data at the training resolution. In-memory data sets are on the device."""
        splits = self.load(self.protocol.res)
        train, validation, test = (on_device(split, self.workload.cell.device) for split in splits[:3])
        return splits._replace(train=train, validation=validation, test=test)

    def load(self, res: int) -> Splits:
        return data.DataSet(self.protocol.data).load(DataSpec(res, self.protocol.augment, self.protocol.erase))

    def network(self) -> nn.Module:
        """Build the network with the seed of the cell. Its weights are the same on every device."""
        seed(self.workload.cell)
        size = (self.protocol.res, self.protocol.res)
        return self.workload.network(self.splits.classes, self.splits.channels, size).to(self.workload.cell.device)

    def trainer(self, lr: float, epochs: int) -> Trainer:
        cell = self.workload.cell
        config = TrainerConfig(cell.seed, lr, epochs, autocast(cell))
        return Trainer(self.network(), self.splits, self.protocol, config, self.checkpoint)

    def top1(self, network: nn.Module, split: data.Images) -> Generator[None, None, float]:
        return top1(network, split, self.workload.cell.device, autocast(self.workload.cell))

    def evaluations(self, network: nn.Module, accuracy: float) -> Generator[None, None, list[Evaluation]]:
        """Return the accuracy, or the reason of a failure, at every requested resolution in each way of adapting."""
        evals: list[Evaluation] = []
        for res in dict.fromkeys(self.protocol.eval_res):
            if res == self.protocol.res:
                evals.append(Evaluation(res, "", accuracy))
            else:
                evals += yield from self.evaluate_at(network, res)
        return evals

    def evaluate_at(self, network: nn.Module, res: int) -> Generator[None, None, list[Evaluation]]:
        """Return the accuracy at another resolution in each way. An exception becomes the reason and keeps the training."""
        evals: list[Evaluation] = []
        try:
            test = on_device(self.load(res).test, self.workload.cell.device)
        except Exception as error:
            return [Evaluation(res, way, None, *reason(error)) for way in ways(network)]
        for way in ways(network):
            yield
            try:
                evals.append(Evaluation(res, way, (yield from self.top1(adapt(network, way), test))))
            except Exception as error:
                evals.append(Evaluation(res, way, None, *reason(error)))
        return evals

    def values(self, trainer: Trainer, accuracy: float) -> dict[str, float | str | None]:
        seconds = sum(epoch.seconds for epoch in trainer.curve)
        cell = self.workload.cell
        return {
            "accuracy": accuracy,
            "accuracy_validation": trainer.curve[-1].validation,
            "accuracy_images": length(self.splits.test),
            "accuracy_floor": self.splits.trivial_accuracy,
            "accuracy_floor_of": self.splits.trivial_predictor,
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
            "accuracy_processes": distributed.world(),
        }


def curves(trainer: Trainer, trials: Sequence[search.Trial]) -> dict[str, list[float | None]]:
    """Return the values of every epoch, and those of the learning-rate search if there was one."""
    epochs: dict[str, list[float | None]] = {
        name: list(values) for name, values in zip(trainer.curve[0]._fields, zip(*trainer.curve))
    }
    if not trials:
        return epochs
    searched = {f"search_{name}": [getattr(trial, name) for trial in trials] for name in ("lr", "validation", "loss")}
    return epochs | searched


def on_device(split: data.Images, device: str) -> data.Images:
    return TensorDataset(*(tensor.to(device) for tensor in split.tensors)) if isinstance(split, TensorDataset) else split
