"""Names of devices: `auto` and `cuda` become devices with an index."""

from __future__ import annotations

from collections.abc import Sequence


def resolve(devices: Sequence[str], gpus: int) -> tuple[str, ...]:
    """Return devices with their index. "auto" is the first GPU, else the CPU. Raises ValueError for a missing GPU."""
    resolved = []
    for device in devices:
        name = ("cuda:0" if gpus else "cpu") if device == "auto" else "cuda:0" if device == "cuda" else device
        if name.startswith("cuda") and int(name[5:]) >= gpus:
            raise ValueError(f"device {device} does not exist: {gpus} CUDA device{'s' if gpus != 1 else ''} found")
        resolved.append(name)
    return tuple(dict.fromkeys(resolved))
