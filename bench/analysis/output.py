"""What every analysis leaves behind: tables, pictures, a page, and by what and where they were made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.report.text import write_generated

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PAGE = "ANALYSIS.md"


@dataclass
class Findings:
    """The result of an analysis."""

    title: str
    text: str  # markdown: what was looked at, the tables a reader wants, how to read them
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)  # name -> tidy table, written as NAME.csv
    figures: Mapping[str, Figure] = field(default_factory=dict)  # name -> picture, in order of the page
    columns: Mapping[str, str] = field(default_factory=dict)  # column -> unit and meaning


def write(found: Findings, out: Path, command: str, env: Mapping[str, Any]) -> list[Path]:
    """ANALYSIS.md, analysis.json, a CSV a table and figures/NAME.svg and .png in `out`; the paths. Raises OSError."""
    from bench.report.figures.canvas import save

    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, table in found.tables.items():
        paths.append(out / f"{name}.csv")
        table.to_csv(paths[-1], index=False)
    for name, figure in found.figures.items():
        paths += save(figure, out / "figures", name)
    facts = {"command": command, "env": env, "columns": found.columns}
    paths.append(out / "analysis.json")
    paths[-1].write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return [write_generated(out / PAGE, "\n".join(_page(found, command, env))), *paths]


def _page(found: Findings, command: str, env: Mapping[str, Any]) -> Iterable[str]:
    from bench.report.leaderboard.page import environment_text

    yield f"# {found.title}\n"
    yield f"- Reproduce: `{command}`" + (f" at commit {env['commit']}" if env.get("commit") else "")
    yield f"- Environment `{env['id']}`: {environment_text(dict(env))}\n"
    yield found.text.rstrip() + "\n"
    yield from (f"![{name}](figures/{name}.svg)\n" for name in found.figures)
    if found.tables:
        yield f"Tables: {', '.join(f'[{name}.csv]({name}.csv)' for name in found.tables)}.\n"
    yield from (f"- `{column}`: {meaning}" for column, meaning in found.columns.items())
