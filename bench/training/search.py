"""What is chosen before a training, by short trainings that are thrown away: the learning rate, and how long to train."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from typing import NamedTuple

from bench.spec import Training
from bench.training import distributed as ranks
from bench.training.checkpoint import Checkpoint
from bench.training.loop import Diverged, Trainer, top1

PROBE_SECONDS = 2.0  # of training, from which follows how many epochs a budget of seconds holds

Make = Callable[[float, int], Trainer]  # of a learning rate and a number of epochs: each time the same network anew


class Try(NamedTuple):
    """A learning rate and what came of it: accuracy on the validation part in percent and the last epoch's loss, or why not."""

    lr: float
    validation: float | None
    loss: float | None
    reason: str = ""


def tries(make: Make, protocol: Training, checkpoint: Checkpoint) -> Generator[None, None, list[Try]]:
    """Each of the protocol's learning rates for a few epochs; those that are in the checkpoint are not tried again."""
    found = [Try(*one) for one in checkpoint.choices.get("tries", ())]
    for lr in protocol.lr[len(found) :]:
        trainer = make(lr, protocol.search_epochs)
        try:
            yield from trainer.run()
            found.append(Try(lr, trainer.curve[-1].validation, trainer.curve[-1].loss))
        except Diverged as error:
            found.append(Try(lr, None, None, str(error)))
        checkpoint.choose(tries=[tuple(one) for one in found])
    return found


def best(found: list[Try], images: int) -> float:
    """The highest learning rate among those that are not told apart from the best; raises `Diverged` where all have diverged.

    Accuracies on `images` images are told apart from two standard errors of their difference on: a choice by less would be a toss.
    """
    fit = {one.lr: one.validation for one in found if one.validation is not None}
    if not fit:
        raise Diverged("; ".join(f"learning rate {one.lr:g}: {one.reason}" for one in found))
    top = max(fit.values())

    def noise(mean: float) -> float:
        return 2 * math.sqrt(2 * mean * (100 - mean) / images)

    return max(lr for lr, validation in fit.items() if top - validation <= noise((top + validation) / 2))


def affordable(make: Make, lr: float, budget: float, checkpoint: Checkpoint) -> Generator[None, None, int]:
    """Epochs that fit a budget of seconds with their validation, one at least, by the speed of a first few steps."""
    if "epochs" not in checkpoint.choices:
        trainer = make(lr, 1)
        step = yield from _step_seconds(trainer, min(PROBE_SECONDS, budget / 4))
        validation = yield from _seconds(top1(trainer.result, trainer.splits.validation, trainer.device, trainer.cast))
        epoch = step * trainer.steps + validation
        checkpoint.choose(epochs=int(ranks.of_first(max(1, budget // epoch), trainer.device)))
    epochs: int = checkpoint.choices["epochs"]
    return epochs


def _seconds(work: Generator[None, None, float]) -> Generator[None, None, float]:
    """The time that work takes, without its pauses."""
    seconds, begin = 0.0, time.perf_counter()
    for _ in work:
        seconds += time.perf_counter() - begin
        yield
        begin = time.perf_counter()
    return seconds + time.perf_counter() - begin


def _step_seconds(trainer: Trainer, enough: float) -> Generator[None, None, float]:
    """Mean of the first steps, which go on for `enough` seconds; without the very first, which warms up, where it is not alone."""
    marks = [time.perf_counter()]
    for _ in trainer.probe():
        marks.append(time.perf_counter())
        if len(marks) > 2 and ranks.of_first(marks[-1] - marks[0], trainer.device) > enough:
            break
    yield
    counted = marks[1:] if len(marks) > 2 else marks
    return (counted[-1] - counted[0]) / (len(counted) - 1)
