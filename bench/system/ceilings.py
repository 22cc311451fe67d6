"""Measured peak rates of a machine, cached per environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.journal import ceilings_key


def path(env_id: str) -> Path:
    """Return the file that holds the peak rates of an environment."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "large-kernel-bench" / f"ceilings-{env_id}.json"


def load(env_id: str) -> dict[str, Any]:
    """Return the known peak rates of an environment, {device/threads: result of `peak_rates.measure`}. Empty if there are none."""
    try:
        cached = json.loads(path(env_id).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # only a cache: an unreadable file is measured again
        return {}
    return cached if isinstance(cached, dict) else {}


def save(env_id: str, device: str, threads: int, measured: Mapping[str, Any]) -> Path:
    """Add peak rates to those of the same environment. The file is replaced atomically. Raises OSError if it cannot be written."""
    file = path(env_id)
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f".{os.getpid()}")
    unfinished.write_text(json.dumps(load(env_id) | {ceilings_key(device, threads): measured}, indent=1), encoding="utf-8")
    os.replace(unfinished, file)
    return file
