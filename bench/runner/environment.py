"""The environment of this machine, as a worker sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.executors.worker import WorkerDied

if TYPE_CHECKING:
    from bench.executors.process import Pool


def environment(pool: Pool) -> dict[str, Any]:
    """Return the environment as seen by a worker. Raises ImportError if none can start."""
    try:
        return pool.collect_env()
    except WorkerDied as death:
        raise ImportError(f"no worker could start: {death.detail}") from death
