"""Weights of trainings that stay for the analysis: one file an epoch, which says of itself what network it belongs to."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bench.spec import Job, Training
from bench.training import distributed as ranks

if TYPE_CHECKING:
    from bench.data import Splits
    from bench.training.loop import Trainer
    from bench.workload.build import Workload

SUFFIX = ".weights.pt"


class WeightSaver:
    """Writes the weights of one training to the workload's folder, or nothing where it has none."""

    def __init__(self, workload: Workload, protocol: Training, splits: Splits):
        self.folder, self.each_epoch = workload.weights, workload.each_epoch
        self.job = Job(workload.cell, "accuracy", protocol)
        self.facts = {"classes": splits.classes, "channels": splits.channels}
        self.seen: set[int] = set()

    def look(self, trainer: Trainer) -> None:
        """Keep the weights if the training stands between two epochs (0: before the first) whose weights are wanted.

        A training that begins removes what an earlier one of the same job has kept.
        """
        epoch, epochs = len(trainer.curve), trainer.epochs
        between = trainer.step == epoch * trainer.steps and epoch not in self.seen
        if self.folder is None or not between or ranks.rank():
            return
        self.seen.add(epoch)
        if epoch == 0:
            for old in self.folder.glob(f"{stem(self.job)}-epoch*{SUFFIX}"):
                old.unlink()
        if not (self.each_epoch or epoch == epochs):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{stem(self.job)}-epoch{epoch:03d}{SUFFIX}"
        state = {name: value.detach().cpu() for name, value in trainer.result.state_dict().items()}
        new = path.with_suffix(".new")
        torch.save({"job": self.job.to_json(), **self.facts, "epoch": epoch, "epochs": epochs, "weights": state}, new)
        os.replace(new, path)


def stem(job: Job) -> str:
    """A file name that says method, task and seed; its last word tells jobs apart that these do not."""
    assert isinstance(job.protocol, Training)
    words = f"{job.cell.label} {job.protocol.data} seed {job.cell.seed} {job.key()[:8]}"
    return re.sub(r"[^A-Za-z0-9.=]+", "-", words)


def read(path: Path) -> dict[str, Any]:
    """What a file of weights holds: job, classes, channels, epoch, epochs, weights; raises ValueError for another file."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        return {**found, "job": Job.from_json(found["job"])}
    except Exception as error:  # whatever a foreign file makes the reader raise, in many lines
        raise ValueError(f"{path} holds no kept weights: `run --keep-weights` did not write it") from error
