"""The report as one HTML file that needs nothing else: no server, no network, no other file.

The tidy tables stand in it as JSON, the charts as Vega-Lite specifications (altair), with the libraries that draw them. Its policy
forbids to load anything and to run any script but the two that were written here, whatever a method is called.
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
from typing import TYPE_CHECKING, Any

from bench.journal import Journal
from bench.report.leaderboard.page import machine
from bench.report.page import choices, colours, data, roofs
from bench.report.text import GENERATED, replaceable
from bench.stats.rounds import t95
from bench.tables import crossover

if TYPE_CHECKING:
    import pandas as pd

SCRIPTS = ("data.js", "state.js", "select.js", "table.js", "points.js", "charts.js", "main.js")  # in this order one module
LEVELS = {"op": "operators", "model": "networks"}
FREEDOM = 30  # degrees of it for which the page has quantiles of Student's t; beyond, the last is less than 2% too wide
LACKING = "the HTML page needs altair and vl-convert-python: pip install 'large-kernel-bench[html]'"


def write(journals: Sequence[Journal], tables: Sequence[pd.DataFrame], path: Path) -> Path:
    """Write the page over the journals' tidy tables; the path.

    Raises ValueError without altair and vl-convert-python, and rather than replace a file that somebody wrote by hand.
    """
    replaceable(path).write_text(html(journals, tables), encoding="utf-8")
    return path


def html(journals: Sequence[Journal], tables: Sequence[pd.DataFrame]) -> str:
    """The whole file as text."""
    content = contents(journals, tables)
    scripts = {"library": library(), "script": "\n".join(map(asset, SCRIPTS))}
    looks = content["looks"].values()
    style = asset("page.css") + colours.rules(look["colour"] for look in looks)
    parts = {"policy": policy(scripts.values()), "style": style, "data": data.island(content), "generated": GENERATED}
    return Template(asset("page.html")).substitute(parts | scripts)


def contents(journals: Sequence[Journal], tables: Sequence[pd.DataFrame]) -> dict[str, Any]:
    """All that the scripts read."""
    values = data.collect(journals, tables)
    return {
        "table": data.table(values),
        "choices": choices.choices(journals, values),
        "looks": colours.looks(dict.fromkeys([*values["label"], *values["series"]])),
        "roofs": roofs.roofs(journals),
        "t95": [t95(freedom) for freedom in range(1, FREEDOM + 1)],
        "crossings": [crossing for journal in journals for crossing in crossings(journal)],
        "runs": sorted(map(run, journals), key=lambda one: one["date"], reverse=True),
        "envs": {env["id"]: machine(env) for journal in journals for env in journal.envs.values()},
        "specs": specs(),
    }


def crossings(journal: Journal) -> Iterator[dict[str, Any]]:
    """Between which kernel sizes, px, the Fourier form becomes the faster, and the setting by the names of columns."""
    for row in crossover.rows(journal):
        if row.get("direct_until") and row.get("fourier_from"):
            setting = {name: row[name] for name in (*crossover.AXES, "timer", "env")}
            yield {"from": row["direct_until"], "to": row["fourier_from"], "setting": {"run": journal.name, **setting}}


def run(journal: Journal) -> dict[str, Any]:
    """What the head of the page says of a run: its name, its last day, its commands with their commits, its environments."""
    started = max((one["started"] for one in journal.runs), default=0.0)
    return {
        "name": journal.name,
        "date": datetime.fromtimestamp(started, UTC).strftime("%Y-%m-%d") if started else "",
        "baseline": baselines(journal),
        "commands": [list(one) for one in dict.fromkeys((one["command"], one.get("commit") or "") for one in journal.runs)],
        "envs": list(journal.envs),
    }


def baselines(journal: Journal) -> str:
    """What the run compares with; of which level, where it has several."""
    levels = dict.fromkeys(record.job.cell.level for record in journal.current())
    if len(levels) < 2:
        return journal.baseline_of(next(iter(levels), "op"))
    return ", ".join(f"{journal.baseline_of(level)} ({LEVELS[level]})" for level in levels)


@cache
def specs() -> dict[str, dict[str, Any]]:
    """The charts; raises ValueError without altair."""
    try:
        from bench.report.page import charts
    except ModuleNotFoundError as error:
        raise ValueError(LACKING) from error
    return charts.specs()


@cache
def library() -> str:
    """Vega, Vega-Lite and vega-embed as one script; raises ValueError without the packages that bring them."""
    try:
        import altair
        import vl_convert
    except ModuleNotFoundError as error:
        raise ValueError(LACKING) from error
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=altair.SCHEMA_VERSION.rpartition(".")[0])
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def policy(scripts: Iterable[str]) -> str:
    """The content security policy: these scripts, styles of the page, and nothing from anywhere."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'"


def asset(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
