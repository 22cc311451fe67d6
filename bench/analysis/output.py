"""Output of every analysis: tables, figures, a page, and the command and environment that produced them."""

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
    text: str  # markdown: summary, tables, and how to read them
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)  # name -> tidy table, written as NAME.csv
    figures: Mapping[str, Figure] = field(default_factory=dict)  # name -> figure, in the order of the page
    columns: Mapping[str, str] = field(default_factory=dict)  # column -> unit and meaning


def write(findings: Findings, out: Path, command: str, env: Mapping[str, Any]) -> list[Path]:
    """Write ANALYSIS.md, analysis.json, one CSV per table and figures/NAME.svg and .png to `out`. Return their paths.

    Raises OSError if a file cannot be written and ValueError if ANALYSIS.md was written by hand.
    """
    from bench.report.figures.canvas import save

    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, table in findings.tables.items():
        paths.append(out / f"{name}.csv")
        table.to_csv(paths[-1], index=False)
    for name, figure in findings.figures.items():
        paths += save(figure, out / "figures", name)
    content = {"command": command, "env": env, "columns": findings.columns}
    paths.append(out / "analysis.json")
    paths[-1].write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return [write_generated(out / PAGE, "\n".join(_page(findings, command, env))), *paths]


def _page(findings: Findings, command: str, env: Mapping[str, Any]) -> Iterable[str]:
    from bench.report.leaderboard.page import environment_text

    yield f"# {findings.title}\n"
    yield f"- Reproduce: `{command}`" + (f" at commit {env['commit']}" if env.get("commit") else "")
    yield f"- Environment `{env['id']}`: {environment_text(dict(env))}\n"
    yield findings.text.rstrip() + "\n"
    yield from (f"![{name}](figures/{name}.svg)\n" for name in findings.figures)
    if findings.tables:
        yield f"Tables: {', '.join(f'[{name}.csv]({name}.csv)' for name in findings.tables)}.\n"
    yield from (f"- `{column}`: {meaning}" for column, meaning in findings.columns.items())
