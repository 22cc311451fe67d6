"""One plain training loop, the same for every method and data set.

What a step draws at random depends on the seed and the number of the step alone, so a training that was killed goes on from its
last saved step as if nothing had happened. Its length is a number of epochs, so the result does not depend on the machine's speed.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bench.data import Splits
from bench.spec import Training
from bench.training import ranks, recipe
from bench.training.batches import begin, evaluation_batches, length, mixed, steps_of, training_batches

PAUSE_SECONDS = 5.0  # a training gives sign of life at least so often
SAVE_SECONDS = 60.0
CHECK_STEPS = 20  # losses are read from the device so many at a time

Cast = Callable[[], AbstractContextManager[Any]]


class Diverged(ArithmeticError):
    """The loss is no longer a finite number; the text names the step."""


class Epoch(NamedTuple):
    """Means over the steps of an epoch, the accuracy on the validation part after it in percent, and the time of its steps."""

    loss: float  # cross entropy
    penalty: float
    validation: float
    lr: float
    seconds: float


class Trainer:
    """Trains `network` in place. Saves its state to `path`, where one is given, and goes on from what lies there."""

    def __init__(
        self,
        network: nn.Module,
        splits: Splits,
        protocol: Training,
        seed: int,
        lr: float,
        epochs: int,
        cast: Cast = nullcontext,
        path: Path | None = None,
    ):
        self.network, self.splits, self.protocol, self.seed, self.epochs = network, splits, protocol, seed, epochs
        self.cast, self.path = cast, path
        self.device = next(network.parameters()).device
        self.steps = steps_of(splits.train, protocol.batch)
        self.replica = ranks.replicated(network)
        self.optimizer, self.scheduler = recipe.schedule(network, protocol, lr, epochs, self.steps)
        self.mix, self.criterion = recipe.mixing(protocol, splits.classes), recipe.criterion(protocol)
        self.average = recipe.average(protocol, network)
        self.step, self.curve = 0, list[Epoch]()
        self.totals, self.seconds, self.saved = torch.zeros(2, dtype=torch.float64), 0.0, time.monotonic()
        self.pending: list[Tensor] = []
        self._resume()

    @property
    def result(self) -> nn.Module:
        """The network to evaluate: the average of the weights where there is one."""
        return self.network if self.average is None else self.average.module

    def run(self) -> Iterator[None]:
        """Train to the end, with a pause now and then. Raises `Diverged`."""
        while len(self.curve) < self.epochs:
            yield from self._epoch()
            self._save_in_time()
            yield

    def probe(self) -> Iterator[None]:
        """The steps of the first epoch, one at a time, each read from the device: to see how long one takes."""
        for images, labels in training_batches(self.splits.train, self.protocol.batch, self.seed, 0, 0):
            self._update(self._placed(images), labels.to(self.device))
            self._check()
            yield

    def _epoch(self) -> Iterator[None]:
        epoch, start = divmod(self.step, self.steps)
        paused = begun = time.perf_counter()
        for images, labels in training_batches(self.splits.train, self.protocol.batch, self.seed, epoch, start):
            self._update(self._placed(images), labels.to(self.device))
            if time.perf_counter() - paused > PAUSE_SECONDS:
                self._check()
                self.seconds += time.perf_counter() - begun
                self._save_in_time()
                yield
                paused = begun = time.perf_counter()
        self._check()
        self.seconds += time.perf_counter() - begun
        loss, penalty = (self.totals / self.steps).tolist()
        lr = max(group["lr"] for group in self.optimizer.param_groups)
        self.curve.append(Epoch(loss, penalty, top1(self.result, self.splits.validation, self.device, self.cast), lr, self.seconds))
        self.totals.zero_()
        self.seconds = 0.0

    def _update(self, images: Tensor, labels: Tensor) -> None:
        """One step; its cross entropy and penalty before it are read later."""
        self.network.train()
        begin(mixed(self.seed, self.step, ranks.rank()), str(self.device))
        if self.mix is not None:
            images, labels = self.mix(images, labels)
        with self.cast():
            loss = self.criterion(self.replica(images), labels)
            penalty = sum(recipe.penalties(self.network), loss.new_zeros(()))
        self.optimizer.zero_grad()
        (loss + penalty).backward()
        if self.protocol.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.protocol.clip)
        self.optimizer.step()
        self.step += 1
        self.scheduler.step_update(self.step)
        if self.average is not None:
            self.average.update(self.network, step=self.step)
        self.pending.append(torch.stack((loss.detach(), penalty.detach())).double())
        if len(self.pending) == CHECK_STEPS:
            self._check()

    def _check(self) -> None:
        """Add the losses since the last look to the epoch's; raises `Diverged` at the first that is not finite."""
        if not self.pending:
            return
        values = ranks.total(torch.stack(self.pending)).cpu() / ranks.world()
        for step, (loss, penalty) in enumerate(values.tolist(), self.step - len(self.pending)):
            if not (math.isfinite(loss) and math.isfinite(penalty)):
                raise Diverged(f"step {step}: cross entropy {loss}, penalty {penalty}")
        self.pending.clear()
        self.totals += values.sum(0)

    def _placed(self, images: Tensor) -> Tensor:
        layout = torch.channels_last if self.protocol.channels_last else torch.contiguous_format
        return images.to(self.device, memory_format=layout)

    def _save_in_time(self) -> None:
        if time.monotonic() - self.saved > SAVE_SECONDS:
            self._save()

    def _save(self) -> None:
        """Replace the saved state by the present one, at once or not at all."""
        self.saved = time.monotonic()
        if self.path is None or ranks.rank():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        plain = {"step": self.step, "seconds": self.seconds, "curve": [tuple(epoch) for epoch in self.curve]}
        torch.save({**parts, **plain, "totals": self.totals}, self.path.with_suffix(".new"))
        os.replace(self.path.with_suffix(".new"), self.path)

    def _resume(self) -> None:
        if self.path is None or not self.path.exists():
            return
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.step, self.seconds, self.totals = state["step"], state["seconds"], state["totals"].cpu()
        self.curve = [Epoch(*epoch) for epoch in state["curve"]]

    def _parts(self) -> dict[str, Any]:
        average = {} if self.average is None else {"average": self.average}
        return {"network": self.network, "optimizer": self.optimizer, **average}


@torch.inference_mode()
def top1(network: nn.Module, part: Any, device: torch.device | str = "cpu", cast: Cast = nullcontext) -> float:
    """Percent of images whose largest logit is at their label, in evaluation mode."""
    network.eval()
    correct = torch.zeros((), dtype=torch.int64, device=device)
    for images, labels in evaluation_batches(part):
        with cast():
            correct += (network(images.to(device)).argmax(1) == labels.to(device)).sum()
    return 100 * int(ranks.total(correct)) / length(part)
