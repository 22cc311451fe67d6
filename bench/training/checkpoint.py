"""The state of a job on disk, so that one that was killed goes on: what was chosen on its way, and the training itself."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch

from bench.training import distributed as ranks


class Checkpoint:
    """One file, replaced as a whole or not at all. Without a path nothing is read or written.

    A file that is torn, foreign, or of another version of torch or number of processes counts as none. Several processes read the
    same file; only the first writes.
    """

    def __init__(self, path: Path | None = None, every: float = 60.0):
        self.path, self.every, self.saved = path, every, time.monotonic()
        self.choices: dict[str, Any] = {}
        self._training: dict[str, Any] | None = None
        if path is not None and path.exists():
            self._read(path)

    def due(self) -> bool:
        """Whether `every` seconds have passed since it was last saved."""
        return self.path is not None and time.monotonic() - self.saved >= self.every

    def choose(self, **choices: Any) -> None:
        """Keep choices, as lists, numbers and strings; the state of a training before them is dropped."""
        self.choices |= choices
        self.save(None)

    def save(self, training: dict[str, Any] | None) -> None:
        self.saved = time.monotonic()
        if self.path is None or ranks.rank():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"of": self._of(), "choices": self.choices, "training": training}, self._new(self.path))
        os.replace(self._new(self.path), self.path)

    def training(self, lr: float, epochs: int) -> dict[str, Any] | None:
        """What was saved of a training with this learning rate and length. It is handed out once, and not held any longer."""
        found = self._training
        if found is None or (found["lr"], found["epochs"]) != (lr, epochs):
            return None
        self._training = None
        return found

    def remove(self) -> None:
        if self.path is not None and not ranks.rank():
            for path in (self.path, self._new(self.path)):
                path.unlink(missing_ok=True)

    def _read(self, path: Path) -> None:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state["of"] == self._of():
                self.choices, self._training = state["choices"], state["training"]
        except Exception:  # whatever a torn file makes the reader raise: the job starts anew
            return

    def _of(self) -> list[Any]:
        """What a state belongs to; the name of the file is the job's key."""
        return [self.path and self.path.stem, str(torch.__version__), ranks.world()]

    @staticmethod
    def _new(path: Path) -> Path:
        return path.with_suffix(".new")
