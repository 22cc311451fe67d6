"""Select the learning rate and the number of epochs by short trainings whose networks are discarded."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from typing import NamedTuple

from bench.spec import Training
from bench.training import distributed
from bench.training.checkpoint import Checkpoint
from bench.training.loop import Diverged, Trainer, top1

PROBE_SECONDS = 2.0  # of training, to estimate the number of epochs within a time budget

Make = Callable[[float, int], Trainer]  # learning rate and epochs -> a trainer of the same initial network


class Trial(NamedTuple):
    """A learning rate with its validation accuracy in percent and the loss of the last epoch, or the reason of the failure."""

    lr: float
    validation: float | None
    loss: float | None
    reason: str = ""


def try_rates(make: Make, protocol: Training, checkpoint: Checkpoint) -> Generator[None, None, list[Trial]]:
    """Train with each learning rate of the protocol for a few epochs. Trials in the checkpoint are not repeated."""
    trials = [Trial(*values) for values in checkpoint.choices.get("tries", ())]
    for lr in protocol.lr[len(trials) :]:
        trainer = make(lr, protocol.search_epochs)
        try:
            yield from trainer.run()
            trials.append(Trial(lr, trainer.curve[-1].validation, trainer.curve[-1].loss))
        except Diverged as error:
            trials.append(Trial(lr, None, None, str(error)))
        checkpoint.choose(tries=[tuple(trial) for trial in trials])
    return trials


def best(trials: list[Trial], images: int) -> float:
    """Return the highest learning rate whose accuracy is not significantly below the best. Raises `Diverged` if all diverged.

    Accuracies on `images` images differ significantly if they differ by more than two standard errors.
    """
    accuracies = {trial.lr: trial.validation for trial in trials if trial.validation is not None}
    if not accuracies:
        raise Diverged("; ".join(f"learning rate {trial.lr:g}: {trial.reason}" for trial in trials))
    top = max(accuracies.values())

    def two_errors(mean: float) -> float:
        return 2 * math.sqrt(2 * mean * (100 - mean) / images)

    return max(lr for lr, validation in accuracies.items() if top - validation <= two_errors((top + validation) / 2))


def affordable(make: Make, lr: float, budget: float, checkpoint: Checkpoint) -> Generator[None, None, int]:
    """Return the number of epochs, at least one, that fit a budget of seconds including their validation.

    It is estimated from the time of the first steps and of one validation.
    """
    if "epochs" not in checkpoint.choices:
        trainer = make(lr, 1)
        step = yield from _step_seconds(trainer, min(PROBE_SECONDS, budget / 4))
        validation = yield from _seconds(top1(trainer.result, trainer.splits.validation, trainer.device, trainer.cast))
        epoch = step * trainer.steps + validation
        checkpoint.choose(epochs=int(distributed.from_rank_0(max(1, budget // epoch), trainer.device)))
    epochs: int = checkpoint.choices["epochs"]
    return epochs


def _seconds(work: Generator[None, None, float]) -> Generator[None, None, float]:
    """Return the seconds that the work takes, without the time between its yields."""
    seconds, begin = 0.0, time.perf_counter()
    for _ in work:
        seconds += time.perf_counter() - begin
        yield
        begin = time.perf_counter()
    return seconds + time.perf_counter() - begin


def _step_seconds(trainer: Trainer, duration: float) -> Generator[None, None, float]:
    """Return the mean seconds per step over `duration` seconds. The first step is a warm-up and ignored if there are more."""
    marks = [time.perf_counter()]
    for _ in trainer.probe():
        marks.append(time.perf_counter())
        if len(marks) > 2 and distributed.from_rank_0(marks[-1] - marks[0], trainer.device) > duration:
            break
    yield
    counted = marks[1:] if len(marks) > 2 else marks
    return (counted[-1] - counted[0]) / (len(counted) - 1)
