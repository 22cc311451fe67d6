"""Interactive report as one self-contained HTML file.

The file contains the tidy tables as JSON, the charts as Vega-Lite specifications (altair), and the libraries that draw them. Its
content security policy allows only the two scripts written here and no external resource, so names of methods cannot inject code.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from bench.journal import Journal
from bench.report.leaderboard.page import environment_text
from bench.report.page import choices, colours, data, roofs
from bench.report.text import GENERATED, replaceable
from bench.stats.rounds import t95
from bench.tables import crossover
from bench.tables.row import Row

SCRIPTS = ("data.js", "state.js", "select.js", "table.js", "points.js", "charts.js", "main.js")  # concatenated to one module
LEVELS = {"op": "operators", "model": "networks"}
MAX_FREEDOM = 30  # largest tabulated degrees of freedom of Student's t; for more, the last quantile is less than 2% too large
MISSING_EXTRA = "the HTML page needs altair and vl-convert-python: pip install 'large-kernel-bench[html]'"


def write(journals: Sequence[Journal], rows: Sequence[Sequence[Row]], path: Path) -> Path:
    """Write the page of the journals and their complete rows. Return its path.

    Raises ValueError if altair or vl-convert-python is not installed, or if the file exists and was not generated.
    """
    replaceable(path).write_text(html(journals, rows), encoding="utf-8")
    return path


def html(journals: Sequence[Journal], rows: Sequence[Sequence[Row]]) -> str:
    """Return the page as text."""
    content = contents(journals, rows)
    scripts = {"library": library(), "script": "\n".join(map(read_asset, SCRIPTS))}
    style = read_asset("page.css") + colours.rules(series["colour"] for series in content["styles"].values())
    parts = {"policy": policy(scripts.values()), "style": style, "data": data.island(content), "generated": GENERATED}
    return Template(read_asset("page.html")).substitute(parts | scripts)


def contents(journals: Sequence[Journal], rows: Sequence[Sequence[Row]]) -> dict[str, Any]:
    """Return the data that the scripts read."""
    values = data.collect(journals, rows)
    return {
        "table": data.table(values),
        "choices": choices.choices(journals, values),
        "styles": colours.styles(values),
        "roofs": roofs.roofs(journals),
        "t95": [t95(freedom) for freedom in range(1, MAX_FREEDOM + 1)],
        "crossings": [crossing for journal in journals for crossing in crossings(journal)],
        "runs": sorted(map(run_summary, journals), key=lambda summary: summary["date"], reverse=True),
        "envs": {env["id"]: environment_text(env) for journal in journals for env in journal.envs.values()},
        "specs": specs(),
    }


def crossings(journal: Journal) -> Iterator[dict[str, Any]]:
    """Yield the kernel sizes, px, between which the Fourier form becomes faster, and the setting by column name."""
    for row in crossover.rows(journal):
        if row.get("direct_until") and row.get("fourier_from"):
            setting = {name: row[name] for name in (*crossover.AXES, "timer", "env")}
            yield {"from": row["direct_until"], "to": row["fourier_from"], "setting": {"run": journal.name, **setting}}


def run_summary(journal: Journal) -> dict[str, Any]:
    """Return name, date, baseline, commands with commits, and environments of a run for the head of the page."""
    started = max((run["started"] for run in journal.runs), default=0.0)
    return {
        "name": journal.name,
        "date": datetime.fromtimestamp(started, UTC).strftime("%Y-%m-%d") if started else "",
        "baseline": baselines(journal),
        "commands": [list(pair) for pair in dict.fromkeys((run["command"], run.get("commit") or "") for run in journal.runs)],
        "envs": list(journal.envs),
    }


def baselines(journal: Journal) -> str:
    """Return the baseline of a run, per level if it has several levels."""
    levels = dict.fromkeys(record.job.cell.level for record in journal.current())
    if len(levels) < 2:
        return journal.baseline_of(next(iter(levels), "op"))
    return ", ".join(f"{journal.baseline_of(level)} ({LEVELS[level]})" for level in levels)


@cache
def specs() -> dict[str, dict[str, Any]]:
    """Return the chart specifications. Raises ValueError if altair is not installed."""
    try:
        from bench.report.page import charts
    except ModuleNotFoundError as error:
        raise ValueError(MISSING_EXTRA) from error
    return charts.specs()


@cache
def library() -> str:
    """Return Vega, Vega-Lite and vega-embed as one script. Raises ValueError if their packages are not installed."""
    try:
        import altair
        import vl_convert
    except ModuleNotFoundError as error:
        raise ValueError(MISSING_EXTRA) from error
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=altair.SCHEMA_VERSION.rpartition(".")[0])
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def policy(scripts: Iterable[str]) -> str:
    """Return the content security policy, which allows these scripts, inline styles and no external resource."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'"


def read_asset(name: str) -> str:
    """Return the content of a file of this package."""
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
