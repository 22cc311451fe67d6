"""The hardware of this machine. Imports no torch."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def hardware() -> dict[str, Any]:
    """Return the entries of an environment that identify the machine."""
    return {"cpu": cpu_model(), "cores": os.cpu_count(), "memory_gb": memory_gb()}


def is_this(env: Mapping[str, Any]) -> bool:
    """Return whether an environment has the same hardware as this machine."""
    return all(env.get(name) == fact for name, fact in hardware().items())


def cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def memory_gb() -> float | None:
    if "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
