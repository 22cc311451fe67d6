"""The state of a job on disk, so that a killed job can resume: the choices made so far, and the training."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch

from bench.training import distributed


class Checkpoint:
    """A checkpoint file, which is replaced atomically. Without a path nothing is read or written.

    A file that is corrupt, or from another job, version of torch or number of processes, is ignored. All processes read the file;
    only rank 0 writes it.
    """

    def __init__(self, path: Path | None = None, every: float = 60.0):
        self.path, self.every, self.saved = path, every, time.monotonic()
        self.choices: dict[str, Any] = {}
        self._training: dict[str, Any] | None = None
        if path is not None and path.exists():
            self._read(path)

    def due(self) -> bool:
        """Return whether `every` seconds have passed since the last save."""
        return self.path is not None and time.monotonic() - self.saved >= self.every

    def choose(self, **choices: Any) -> None:
        """Save choices (lists, numbers and strings) and drop the state of the training that led to them."""
        self.choices |= choices
        self.save(None)

    def save(self, training: dict[str, Any] | None) -> None:
        self.saved = time.monotonic()
        if self.path is None or distributed.rank():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"of": self._identity(), "choices": self.choices, "training": training}, self._unfinished(self.path))
        os.replace(self._unfinished(self.path), self.path)

    def training(self, lr: float, epochs: int) -> dict[str, Any] | None:
        """Return the saved state of a training with this learning rate and number of epochs, or None.

        The state is returned once and then released.
        """
        state = self._training
        if state is None or (state["lr"], state["epochs"]) != (lr, epochs):
            return None
        self._training = None
        return state

    def remove(self) -> None:
        if self.path is not None and not distributed.rank():
            for path in (self.path, self._unfinished(self.path)):
                path.unlink(missing_ok=True)

    def _read(self, path: Path) -> None:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state["of"] == self._identity():
                self.choices, self._training = state["choices"], state["training"]
        except Exception:  # reading a corrupt file may raise anything: the job starts again
            return

    def _identity(self) -> list[Any]:
        """Return the job, version of torch and number of processes of the state. The name of the file is the key of the job."""
        return [self.path and self.path.stem, str(torch.__version__), distributed.world()]

    @staticmethod
    def _unfinished(path: Path) -> Path:
        return path.with_suffix(".new")
