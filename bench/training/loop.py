"""The training loop, the same for every method and data set.

The random numbers of a step depend only on the seed and the number of the step. A killed training therefore resumes from its last
saved step with the same result.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from bench.data import Splits
from bench.spec import Training
from bench.training import distributed, optim
from bench.training.batches import Batch, batch_size, combined_seed, evaluation_batches, length, seed_all, training_batches
from bench.training.checkpoint import Checkpoint
from bench.training.objective import Cast, Objective

if TYPE_CHECKING:
    from bench.data import Images

PAUSE_SECONDS = 5.0  # maximum time between two yields
CHECK_STEPS = 20  # steps whose losses are read from the device at once


class Diverged(ArithmeticError):
    """The loss or the logits of an evaluation are not finite. The message names the step."""


class Epoch(NamedTuple):
    """Means over the steps of an epoch, the validation accuracy after it in percent, and the seconds of its steps."""

    loss: float  # cross entropy
    penalty: float
    validation: float
    lr: float  # at the end of the epoch
    seconds: float


@dataclass(frozen=True)
class TrainerConfig:
    """What a training protocol leaves open: the seed, the learning rate, the number of epochs and the autocast context."""

    seed: int
    lr: float
    epochs: int
    cast: Cast = nullcontext


class Trainer:
    """Trains `network` in place. Saves its state to `checkpoint`, and resumes from a state that is saved there.

    `images` is the number of images per step, `steps` the number of steps per epoch, `step` the number of completed steps.
    """

    def __init__(
        self,
        network: nn.Module,
        splits: Splits,
        protocol: Training,
        config: TrainerConfig,
        checkpoint: Checkpoint | None = None,
    ):
        self.network, self.splits = network, splits
        self.seed, self.lr, self.epochs, self.cast = config.seed, config.lr, config.epochs, config.cast
        self.checkpoint = checkpoint or Checkpoint()
        self.images = batch_size(splits.train, protocol.batch)
        self.steps = length(splits.train) // self.images
        self.clip, self.layout = protocol.clip, torch.channels_last if protocol.channels_last else torch.contiguous_format
        self.device = next(network.to(memory_format=self.layout).parameters()).device
        self.mix = optim.mixing(protocol, splits.classes, self.images // distributed.world())
        self.objective = distributed.replicated(Objective(network, optim.criterion(protocol), config.cast))
        self.optimizer, self.scheduler = optim.schedule(network, protocol, config.lr, config.epochs, self.steps)
        self.average = optim.average(protocol, network)
        self.step, self.curve = 0, list[Epoch]()
        self.loss, self.penalty, self.seconds = 0.0, 0.0, 0.0  # sums over the current epoch
        self.pending: list[Tensor] = []  # losses and penalties not yet read from the device
        self._resume()

    @property
    def result(self) -> nn.Module:
        """The network to evaluate: the one with averaged weights if the protocol averages them."""
        return self.network if self.average is None else self.average.module

    def run(self) -> Iterator[None]:
        """Train to the end. Yields every few seconds. Raises `Diverged` if a loss is not finite."""
        while len(self.curve) < self.epochs:
            yield from self._epoch()
            if self.checkpoint.due():
                self._save()
            yield

    def probe(self) -> Iterator[None]:
        """Run the first epoch step by step, with a synchronisation after each step, to measure the time per step."""
        for batch in self._batches():
            self._update(*batch)
            self._check()
            yield

    def _batches(self) -> Iterator[Batch]:
        """Return the remaining batches of the current epoch."""
        epoch = len(self.curve)
        batches = training_batches(self.splits.train, self.images, self.seed, epoch, self.step - epoch * self.steps)
        return ((images.to(self.device, memory_format=self.layout), labels.to(self.device)) for images, labels in batches)

    def _epoch(self) -> Iterator[None]:
        paused = begun = time.perf_counter()
        for batch in self._batches():
            self._update(*batch)
            pausing = (
                not distributed.is_distributed() and time.perf_counter() - paused > PAUSE_SECONDS
            )  # processes would pause at different steps
            if not pausing and len(self.pending) < CHECK_STEPS:
                continue
            self._check()
            self.seconds += time.perf_counter() - begun
            if self.checkpoint.due():
                self._save()
            if pausing:
                yield
                paused = time.perf_counter()
            begun = time.perf_counter()
        self._check()
        self.seconds += time.perf_counter() - begun
        validation = yield from top1(self.result, self.splits.validation, self.device, self.cast)
        lr = max(group["lr"] for group in self.optimizer.param_groups)
        self.curve.append(Epoch(self.loss / self.steps, self.penalty / self.steps, validation, lr, self.seconds))
        self.loss = self.penalty = self.seconds = 0.0

    def _update(self, images: Tensor, labels: Tensor) -> None:
        """Run one step. Its cross entropy and penalty are read later, in `_check`."""
        self.network.train()
        seed_all(combined_seed(self.seed, self.step, distributed.rank()), str(self.device))
        if self.mix is not None:
            images, labels = self.mix(images, labels)
        loss, penalty = self.objective(images, labels)
        self.optimizer.zero_grad()
        (loss + penalty).backward()
        if self.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimizer.step()
        self.step += 1
        self.scheduler.step_update(self.step)
        if self.average is not None:
            self.average.update(self.network, step=self.step)
        self.pending.append(torch.stack((loss.detach(), penalty.detach())).double())

    def _check(self) -> None:
        """Read the pending losses and add them to those of the epoch. Raises `Diverged` at the first that is not finite."""
        if not self.pending:
            return
        values = (distributed.total(torch.stack(self.pending)) / distributed.world()).tolist()
        for step, (loss, penalty) in enumerate(values, self.step - len(values)):
            if not (math.isfinite(loss) and math.isfinite(penalty)):
                raise Diverged(f"step {step}: cross entropy {loss}, penalty {penalty}")
            self.loss += loss
            self.penalty += penalty
        self.pending.clear()

    def _save(self) -> None:
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        curve = [tuple(epoch) for epoch in self.curve]
        plain = {name: getattr(self, name) for name in ("lr", "epochs", "step", "loss", "penalty", "seconds")}
        self.checkpoint.save({**parts, **plain, "curve": curve})

    def _resume(self) -> None:
        state = self.checkpoint.training(self.lr, self.epochs)
        if state is None:
            return
        begun = copy.deepcopy({name: part.state_dict() for name, part in self._parts().items()})
        try:
            curve = [Epoch(*epoch) for epoch in state["curve"]]
            step, *sums = (state[name] for name in ("step", "loss", "penalty", "seconds"))
            self._load(state)
        except (RuntimeError, KeyError, ValueError, TypeError):  # from another network or optimiser: ignored
            self._load(begun)
        else:
            self.curve, self.step, (self.loss, self.penalty, self.seconds) = curve, step, sums

    def _load(self, states: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(states[name])

    def _parts(self) -> dict[str, Any]:
        average = {} if self.average is None else {"average": self.average}
        return {"network": self.network, "optimizer": self.optimizer, **average}


def top1(
    network: nn.Module, split: Images, device: torch.device | str = "cpu", cast: Cast = nullcontext
) -> Generator[None, None, float]:
    """Return the top-1 accuracy in percent, in evaluation mode. Yields every few seconds.

    Raises `Diverged` if a logit is not finite.
    """
    network.eval()
    counts, paused = (
        torch.zeros(2, dtype=torch.int64, device=device),
        time.perf_counter(),
    )  # numbers of correct images and of non-finite logits
    for images, labels in evaluation_batches(split):
        with torch.inference_mode(), cast():
            logits = network(images.to(device))
            counts += torch.stack(((logits.argmax(1) == labels.to(device)).sum(), (~logits.isfinite()).sum()))
        if not distributed.is_distributed() and time.perf_counter() - paused > PAUSE_SECONDS:
            yield
            paused = time.perf_counter()
    correct, broken = distributed.total(counts).tolist()
    if broken:
        raise Diverged("evaluation: logits are not finite")
    return 100 * correct / length(split)
