"""Devices by index."""

from __future__ import annotations

from collections.abc import Sequence


def resolve(devices: Sequence[str], gpus: int) -> tuple[str, ...]:
    """Devices by index: "auto" is the first GPU, or the CPU where there is none; raises ValueError for a GPU that is not there."""
    found = []
    for device in devices:
        name = ("cuda:0" if gpus else "cpu") if device == "auto" else "cuda:0" if device == "cuda" else device
        if name.startswith("cuda") and int(name[5:]) >= gpus:
            raise ValueError(f"device {device} is not there: {gpus} CUDA device{'s' if gpus != 1 else ''} found")
        found.append(name)
    return tuple(dict.fromkeys(found))
