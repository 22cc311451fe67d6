"""Folders that tests read."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
PLUGINS = ROOT / "tests" / "plugins"
FAULTS = str(PLUGINS / "faults.py")
