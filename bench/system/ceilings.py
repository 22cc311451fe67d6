"""Measured ceilings of a machine, cached beside its fingerprint."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def where(device: str, threads: int) -> str:
    """The key of one set of ceilings within a machine's."""
    return f"{device}/{threads}"


def path(env_id: str) -> Path:
    """The file that holds the ceilings of one environment."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "large-kernel-bench" / f"ceilings-{env_id}.json"


def load(env_id: str) -> dict[str, Any]:
    """Ceilings known of an environment, {device/threads: what `ceilings.measure` returned}; empty where there are none."""
    try:
        found = json.loads(path(env_id).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # a cache: what cannot be read is measured again
        return {}
    return found if isinstance(found, dict) else {}


def save(env_id: str, device: str, threads: int, measured: Mapping[str, Any]) -> Path:
    """Keep ceilings beside those of the same environment, replacing the file at once; raises OSError."""
    file = path(env_id)
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(load(env_id) | {where(device, threads): measured}, indent=1), encoding="utf-8")
    os.replace(fresh, file)
    return file
