"""Saved weights of trainings for the analysis: one file per epoch, which describes its network."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bench.spec import Job, Training, digest
from bench.training import distributed

if TYPE_CHECKING:
    from bench.data import Splits
    from bench.training.loop import Trainer
    from bench.workload.build import Workload

SUFFIX = ".weights.pt"


class WeightSaver:
    """Writes the weights of a training to the folder of the workload. Does nothing if it has no folder."""

    def __init__(self, workload: Workload, protocol: Training, splits: Splits):
        self.folder, self.each_epoch = workload.weights, workload.each_epoch
        self.job = Job(workload.cell, "accuracy", protocol)
        self.facts = {"classes": splits.classes, "channels": splits.channels}
        self.saved: set[int] = set()

    def update(self, trainer: Trainer) -> None:
        """Save the weights if the training is between two epochs (0: before the first) and those of this epoch are requested.

        At epoch 0, the files of an earlier training of the same job are removed.
        """
        epoch, epochs = len(trainer.curve), trainer.epochs
        between = trainer.step == epoch * trainer.steps and epoch not in self.saved
        if self.folder is None or not between or distributed.rank():
            return
        self.saved.add(epoch)
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
    """Return a file name with method, task and seed. Its suffix, a part of the job's key, makes it unique."""
    assert isinstance(job.protocol, Training)
    text = f"{job.cell.label} {job.protocol.data} seed {job.cell.seed} {job.key()[:8]}"
    return re.sub(r"[^A-Za-z0-9.=]+", "-", text)


def read(path: Path) -> dict[str, Any]:
    """Read a file of weights: job, classes, channels, epoch, epochs, weights, and `training`, the key of the job when it was saved.

    Raises ValueError for any other file.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return {**content, "job": Job.from_json(content["job"]), "training": digest(content["job"])}
    except Exception as error:  # reading another file may raise anything, in many lines
        raise ValueError(f"{path} is not a weights file written by `run --keep-weights`") from error
