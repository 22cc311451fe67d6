"""The pages that are made of the sources: methods, their parts, columns, commands. Nothing here imports torch."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import column_pages
import command_pages
import method_pages


def pages() -> Mapping[str, str]:
    """Every page by its place in the folder `reference`."""
    return {**method_pages.pages(), **column_pages.pages(), **command_pages.pages()}


def write(folder: Path) -> None:
    """Replace `folder` by the pages."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in pages().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
