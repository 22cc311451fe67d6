"""The journal: JSON lines, appended and synced one by one, never rewritten. Everything else is computed from it.

A line is {"kind": "run" | "env" | "record", ...}. A last line that a crash tore is set aside; any other bad line is named.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.columns import COLUMNS, METRICS, of
from bench.spec import STATUS, Job, Record

if TYPE_CHECKING:
    import pandas as pd

NAME = "journal.jsonl"


class CorruptJournal(Exception):
    """A line that is not a journal line; the text names file and number."""


@dataclass
class Journal:
    """What a journal says: the last record of each job, the environments and the runs that wrote it."""

    path: Path
    records: dict[str, Record] = field(default_factory=dict)
    envs: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.parent.name


def read(path: Path) -> Journal:
    """Read a journal, an absent one as empty; raises `CorruptJournal`."""
    journal = Journal(path)
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            _take(journal, json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines) and not line.endswith(b"\n"):
                break  # torn by a crash in mid-write
            raise CorruptJournal(f"{path}: line {number} is not a journal line ({error})") from error
    return journal


def _take(journal: Journal, line: Any) -> None:
    if not isinstance(line, dict):
        raise TypeError("not an object")
    kind = line.pop("kind")
    if kind == "record":
        key = line.pop("key")
        if line["status"] not in STATUS:
            raise ValueError(f"unknown status {line['status']!r}")
        journal.records.pop(key, None)  # the order of the dict is that of the last records
        journal.records[key] = Record(**{**line, "job": Job.from_json(line["job"])})
    elif kind == "env":
        journal.envs[line["id"]] = {"cpu": "unknown", "gpus": [], **line}
    elif kind == "run":
        journal.runs.append({"command": line["command"], "started": float(line["started"]), **line})
    else:
        raise ValueError(f"unknown kind {kind!r}")


class Writer:
    """Appends lines to a journal, each on disk before the next is begun. Use as a context manager."""

    def __init__(self, path: Path):
        """Open for appending; raises OSError where the folder cannot be written or another run is writing there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("ab")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.file.close()
            raise OSError(f"another run is writing to {path}") from error
        _set_torn_line_aside(path)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.file.close()

    def record(self, record: Record) -> None:
        self._append({"kind": "record", "key": record.job.key(), **asdict(record)})

    def env(self, facts: dict[str, Any]) -> None:
        self._append({"kind": "env", **facts})

    def run(self, facts: dict[str, Any]) -> None:
        self._append({"kind": "run", **facts})

    def _append(self, line: dict[str, Any]) -> None:
        self.file.write(json.dumps(line, separators=(",", ":"), allow_nan=False).encode() + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())


def _set_torn_line_aside(path: Path) -> None:
    """Let the next line start clean: end a whole last line, move a torn one to a file beside the journal."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole == len(content):
        return
    if _whole(content[whole:]):
        with path.open("ab") as file:
            file.write(b"\n")
        return
    with path.with_suffix(".torn").open("ab") as torn:
        torn.write(content[whole:] + b"\n")
    with path.open("r+b") as file:
        file.truncate(whole)


def _whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def tidy(journal: Journal) -> pd.DataFrame:
    """One row a cell: its axes, every metric's columns, and each metric's status. Accuracy stands beside the operator's cells."""
    import pandas as pd

    rows: dict[Any, dict[str, Any]] = {}
    tasks: dict[Any, list[Record]] = {}
    for record in current(journal):
        if record.job.cell.level == "model":
            tasks.setdefault(_method_key(record), []).append(record)
        else:
            _fill(rows.setdefault(record.job.cell, _axes(record)), record)
    for key, records in tasks.items():
        same = [row for cell, row in rows.items() if _key_of(cell) == key]
        for record in records:
            for row in same or [rows.setdefault(record.job.cell, _axes(record))]:
                _fill(row, record)
    names = [*(column.name for column in COLUMNS), "latency_session"]
    names += [f"{metric}_{what}" for metric in METRICS for what in ("status", "detail")]
    numbers = {column.name: "float64" for column in COLUMNS if column.metric and column.unit != "name"}
    return pd.DataFrame(list(rows.values()), columns=names).astype({"kernel": "float64", **numbers})


def current(journal: Journal) -> Iterator[Record]:
    """Records of the sources that the last run of each method had: figures of an older state of a method are history."""
    code = {method: digest for run in journal.runs for method, digest in run.get("code", {}).items()}
    return (r for r in journal.records.values() if code.get(r.job.cell.method, r.job.code) == r.job.code)


def _key_of(cell: Any) -> tuple[Any, ...]:
    return cell.method, cell.params, cell.kernel, cell.device, cell.threads, cell.seed


def _method_key(record: Record) -> tuple[Any, ...]:
    return _key_of(record.job.cell)


def _axes(record: Record) -> dict[str, Any]:
    cell = record.job.cell
    axes = {name: getattr(cell, name) for name in ("method", "label", "level", "height", "width", "channels", "kernel", "batch")}
    axes |= {name: getattr(cell, name) for name in ("dtype", "device", "mode", "threads", "seed")}
    return axes | {"params": json.dumps(dict(cell.params)), "env": record.env}


def _fill(row: dict[str, Any], record: Record) -> None:
    metric = record.job.metric
    row |= {name: record.values.get(name) for name in of(metric)} | {"env": record.env}
    row |= {"latency_session": record.session} if metric == "latency" else {}
    row |= {f"{metric}_status": record.status, f"{metric}_detail": record.detail}


def write_tables(journal: Journal) -> list[Path]:
    """Write table.csv beside the journal, and table.parquet where pyarrow is installed; returns the paths."""
    table = tidy(journal)
    paths = [journal.path.with_name("table.csv")]
    table.to_csv(paths[0], index=False)
    try:
        import pyarrow  # noqa: F401  # the extra `parquet`
    except ModuleNotFoundError:
        return paths
    paths.append(journal.path.with_name("table.parquet"))
    table.to_parquet(paths[1], index=False)
    return paths
