"""Version and commit of this program. Imports no torch."""

from __future__ import annotations

import os
import subprocess
from importlib import metadata
from pathlib import Path

NAME = "large-kernel-bench"
ROOT = Path(__file__).parents[2]


def version_text() -> str:
    """Return name, version and commit."""
    try:
        version = metadata.version(NAME)
    except metadata.PackageNotFoundError:  # run from a clone
        version = "not installed"
    found = commit()
    return f"{NAME} {version}" + (f", commit {found}" if found else "")


def commit() -> str | None:
    """Return the commit of this checkout, with "+" if the sources are modified; of an installed package that of its build.

    None if neither is known.
    """
    if (ROOT / ".git").exists():
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--", "bench", "methods") else "") if head else None
    built = Path(__file__).with_name("COMMIT")  # written into the wheel by hatch_build.py
    return built.read_text(encoding="utf-8").strip() or None if built.exists() else None


def _git(*words: str) -> str:
    """Return the output of git on this checkout, whoever owns it and whatever repository the environment names."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return output("git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), *words, env=environment)


def output(*command: str, env: dict[str, str] | None = None) -> str:
    """Return the standard output of a command, empty if it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True, env=env).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
