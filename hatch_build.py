"""Build hook: write the commit into the package, so that `bench --version` and journals of an installed package state it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TARGET = "bench/system/COMMIT"


class CommitHook(BuildHookInterface):
    """Adds the file `TARGET`. A source distribution carries it to the wheel that is built from it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or (Path(self.root) / TARGET).exists():
            return
        file = Path(tempfile.mkdtemp()) / "COMMIT"
        file.write_text(self.commit() + "\n", encoding="utf-8")
        build_data["force_include"][str(file)] = TARGET

    def commit(self) -> str:
        """Return the short hash of the commit, with "+" if the sources are modified; empty outside a checkout."""
        head = self.git("rev-parse", "--short=12", "HEAD")
        return head + ("+" if head and self.git("status", "--porcelain", "--", "bench", "methods") else "")

    def git(self, *words: str) -> str:
        try:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
            command = ["git", "-c", f"safe.directory={self.root}", "-C", self.root, *words]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        except (OSError, subprocess.SubprocessError):
            return ""
        return done.stdout.strip()
