"""Writes the generated pages: methods, their parts, columns and commands. Imports no torch."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import column_pages
import command_pages
import method_pages


def pages() -> Mapping[str, str]:
    """Return each page by its path in the folder `reference`."""
    return {**method_pages.pages(), **column_pages.pages(), **command_pages.pages()}


def write(folder: Path) -> None:
    """Replace the folder with the generated pages."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in pages().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
