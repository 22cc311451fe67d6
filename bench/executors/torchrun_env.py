"""Started by torchrun: several processes of the same command line train one network after the other together. No torch here."""

from __future__ import annotations

import os
from collections.abc import Collection

LAUNCHER = "TORCHELASTIC_RUN_ID"  # set by torchrun


def launched() -> bool:
    """Whether torchrun started this process."""
    return LAUNCHER in os.environ


def follows() -> bool:
    """Whether another process plans, writes the journal and tells this one what to do."""
    return launched() and os.environ["RANK"] != "0"


def prepare(metrics: Collection[str]) -> None:
    """Leave this process one GPU, its own; before torch is imported. Raises ValueError where anything but accuracy is asked for."""
    if not launched():
        return
    if set(metrics) != {"accuracy"}:
        raise ValueError(f"under torchrun give --metrics accuracy alone, not {','.join(metrics)}: the others measure one process")
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = seen.split(",") if seen else [str(index) for index in range(int(os.environ["LOCAL_WORLD_SIZE"]))]
    own = int(os.environ["LOCAL_RANK"])
    os.environ["CUDA_VISIBLE_DEVICES"] = devices[own] if own < len(devices) else ""
