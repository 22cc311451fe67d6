"""Detect torchrun, which starts several processes of the same command line to train one network. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Collection

LAUNCHER = "TORCHELASTIC_RUN_ID"  # set by torchrun


def launched() -> bool:
    """Return whether torchrun started this process."""
    return LAUNCHER in os.environ


def follows() -> bool:
    """Return whether this process is not rank 0, which plans the sweep and writes the journal."""
    return launched() and os.environ["RANK"] != "0"


def prepare(metrics: Collection[str]) -> bool:
    """Restrict this process to the GPU of its local rank, and return `follows`. Call it before torch is imported.

    Raises ValueError if a metric other than accuracy is requested.
    """
    if not launched():
        return False
    if set(metrics) != {"accuracy"}:
        raise ValueError(
            f"torchrun supports only --metrics accuracy, not {','.join(metrics)}: the other metrics measure a single process"
        )
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = visible.split(",") if visible else [str(index) for index in range(int(os.environ["LOCAL_WORLD_SIZE"]))]
    local_rank = int(os.environ["LOCAL_RANK"])
    os.environ["CUDA_VISIBLE_DEVICES"] = devices[local_rank] if local_rank < len(devices) else ""
    return follows()
