"""The journal: JSON lines, appended and synced one by one, never rewritten. Everything else is computed from it.

A line is {"kind": "run" | "env" | "record", ...}. A last line that a crash tore is set aside; any other bad line is named.
Raw samples, a hundred times the size of what is computed from them, go to a file of their own that no report reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from bench.spec import STATUS, Job, Record

NAME = "journal.jsonl"
SAMPLES = "samples.jsonl"


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

    @property
    def baseline(self) -> str:
        """The baseline that the last run into this journal named; "none" for none."""
        return next((run["baseline"] for run in reversed(self.runs) if "baseline" in run), "none")

    def current(self) -> Iterator[Record]:
        """Records of the sources that the last run of each method had: figures of an older state of a method are history."""
        code = {method: digest for run in self.runs for method, digest in run.get("code", {}).items()}
        return (r for r in self.records.values() if code.get(r.job.cell.method, r.job.code) == r.job.code)


def read(path: Path) -> Journal:
    """Read a journal, an absent one as empty; raises `CorruptJournal`."""
    journal = Journal(path)
    if not path.exists():
        return journal
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                _take(journal, json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                if not line.endswith(b"\n"):
                    break  # the last, torn by a crash in mid-write
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
        line.pop("samples", None)
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
        self.file, self.samples = path.open("ab"), path.with_name(SAMPLES).open("ab")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.__exit__()
            raise OSError(f"another run is writing to {path}") from error
        _set_torn_line_aside(path)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exc: object) -> None:
        for file in (self.file, self.samples):
            with contextlib.suppress(OSError):  # a full disk again: what counts was synced before
                file.close()

    def record(self, record: Record) -> None:
        """Append a record, its samples first: a record stands for a whole measurement."""
        key = record.job.key()
        if record.samples:
            self._append(self.samples, {"key": key, "started": record.started, **record.samples})
        self._append(self.file, {"kind": "record", "key": key, **vars(record), "job": record.job.to_json(), "samples": None})

    def env(self, facts: dict[str, Any]) -> None:
        self._append(self.file, {"kind": "env", **facts})

    def run(self, facts: dict[str, Any]) -> None:
        self._append(self.file, {"kind": "run", **facts})

    def _append(self, file: BinaryIO, line: dict[str, Any]) -> None:
        """One line on disk; raises OSError, and a line half written is taken back."""
        end = file.tell()
        try:
            file.write(json.dumps(line, separators=(",", ":"), allow_nan=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file.fileno(), end)
            raise


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
