"""List of the figures of a run, `figures/manifest.json`. Does not import matplotlib."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "manifest.json"
OLDER = re.compile(
    r"(?P<kind>winners|relative|pareto|roofline|crossover|reach|(?:latency|memory)-(?:resolution|channels))(?:-\d+)?_(?P<setting>.*)"
)


@dataclass(frozen=True)
class Figure:
    """A figure that was drawn: its file and what it shows."""

    file: str  # the SVG; a PNG with the same name is next to it
    kind: str  # such as "winners" or "latency-resolution"
    setting: str  # fixed axes of the setting that differ from the defaults
    caption: str  # title of the figure


def read(folder: Path) -> list[Figure]:
    """Return the listed figures of a folder, sorted by file; none if the list is damaged."""
    if not (folder / NAME).exists():
        return read_older(folder)
    try:
        figures = [Figure(**entry) for entry in json.loads((folder / NAME).read_text(encoding="utf-8"))]
        return [figure for figure in figures if _is_inside(figure.file)]
    except (ValueError, TypeError):
        return []


def read_older(folder: Path) -> list[Figure]:
    """Return the figures of a run of an older version, which has no list: kind and setting are in the names of the files."""
    figures = []
    for path in sorted(folder.glob("*.svg")):
        if match := OLDER.fullmatch(path.stem):
            setting = match["setting"].replace("_", ", ") or "all"
            figures.append(Figure(path.name, match["kind"], setting, setting))
    return figures


def _is_inside(file: str) -> bool:
    """Return True for an SVG in the folder itself: an edited list must not delete other files."""
    return Path(file).name == file and file.endswith(".svg")


def update(folder: Path, drawn: Sequence[Figure]) -> None:
    """List the figures just drawn, and delete the files of figures in the previous list that were not drawn again."""
    outdated = {figure.file for figure in read(folder)} - {figure.file for figure in drawn}
    for path in (folder / file for file in outdated):
        path.unlink(missing_ok=True)
        path.with_suffix(".png").unlink(missing_ok=True)
    if not drawn:
        (folder / NAME).unlink(missing_ok=True)
        return
    entries = [asdict(figure) for figure in sorted(drawn, key=lambda figure: figure.file)]
    (folder / NAME).write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
