"""The journal: JSON lines, appended and synced one by one, never rewritten. Everything else is computed from it.

A line is {"kind": "run" | "env" | "record", ...}. A last line that a crash tore is set aside; any other bad line is named.
Raw samples, a hundred times the size of what is computed from them, go to a file of their own that no report reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from bench.spec import STATUS, Job, Record

NAME = "journal.jsonl"
SAMPLES = "samples.jsonl"


class CorruptJournal(Exception):
    """A line that is not a journal line; the text names file and number."""


class CannotWrite(Exception):
    """A line that did not reach the disk, as where it is full; the lines before it are whole."""


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
        """What operators are compared with."""
        return self.baseline_of("op")

    def baseline_of(self, level: str) -> str:
        """The baseline that the last run of a level into this journal named: a method, or a network's label; "none" for none."""
        named = (run["baseline"] for run in reversed(self.runs) if "baseline" in run and run.get("level", "op") == level)
        return next(named, "none")

    def current(self) -> Iterator[Record]:
        """Records of the sources that the last run of each method had: figures of an older state of a method are history."""
        code = {method: digest for run in self.runs for method, digest in run.get("code", {}).items()}
        return (r for r in self.records.values() if code.get(r.job.cell.method, r.job.code) == r.job.code)


def read(path: Path) -> Journal:
    """Read a journal, an absent one as empty; raises `CorruptJournal`."""
    journal = Journal(path)
    if not path.exists():
        return journal
    with path.open("rb") as lines, no_collections():
        for number, line in enumerate(lines, 1):
            try:
                _take(journal, json.loads(line.decode()))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                if not line.endswith(b"\n"):
                    break  # the last, torn by a crash in mid-write
                raise CorruptJournal(f"{path}: line {number} is not a journal line ({error})") from error
    return journal


@contextlib.contextmanager
def no_collections() -> Iterator[None]:
    """Without the search for cycles, which would go through all that is made so far time and again and find none."""
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()


def _take(journal: Journal, line: Any) -> None:
    if not isinstance(line, dict):
        raise TypeError("not an object")
    kind = line.pop("kind")
    if kind == "record":
        key = line.pop("key")
        if line["status"] not in STATUS:
            raise ValueError(f"unknown status {line['status']!r}")
        line.pop("samples", None)
        shared = {"job": Job.from_json(line["job"])} | {
            name: _interned(line[name]) for name in ("values", "rounds") if name in line
        }
        journal.records.pop(key, None)  # the order of the dict is that of the last records
        journal.records[key] = Record(**{**line, **shared})
    elif kind == "env":
        journal.envs[line["id"]] = {"cpu": "unknown", "gpus": [], **line}
    elif kind == "run":
        journal.runs.append({"command": line["command"], "started": float(line["started"]), **line})
    else:
        raise ValueError(f"unknown kind {kind!r}")


def _interned(values: dict[str, Any]) -> dict[str, Any]:
    """The same with one string a name in the whole process: a third of a large journal's memory."""
    return {sys.intern(name): value for name, value in values.items()}


class Writer:
    """Appends lines to a journal, each on disk before the next is begun. Use as a context manager."""

    def __init__(self, path: Path):
        """Open for appending; raises OSError where the folder cannot be written or another run is writing there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        # unbuffered: a line that failed must not reach the disk later
        self.file, self.samples = (file.open("ab", buffering=0) for file in (path, path.with_name(SAMPLES)))
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.__exit__()
            raise OSError(f"another run is writing to {path}") from error
        for file in (self.file, self.samples):
            _set_torn_line_aside(Path(file.name))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.file.close()
        self.samples.close()

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

    def _append(self, file: FileIO, line: dict[str, Any]) -> None:
        """One line on disk; raises `CannotWrite`, and a line half written is taken back."""
        end = os.fstat(file.fileno()).st_size
        rest = memoryview(json.dumps(line, separators=(",", ":"), allow_nan=False).encode() + b"\n")
        try:
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(file.fileno(), end)
            raise CannotWrite(f"cannot write {file.name}: {error.strerror}") from error


def _set_torn_line_aside(path: Path) -> None:
    """Let the next line start clean: end a whole last line, move a torn one to a file beside it."""
    with path.open("r+b") as file:
        torn = _last_line(file)
        if not torn:
            return
        if _whole(torn):
            file.write(b"\n")
            return
        with path.with_suffix(".torn").open("ab") as aside:
            aside.write(torn + b"\n")
        file.seek(-len(torn), os.SEEK_END)
        file.truncate()


def _last_line(file: BinaryIO) -> bytes:
    """What follows the last line end, read from behind: a file of samples may be larger than the memory."""
    size, block = file.seek(0, os.SEEK_END), 1 << 16
    tail = b""
    while len(tail) < size and b"\n" not in tail:
        file.seek(max(size - len(tail) - block, 0))
        tail = file.read(min(block, size - len(tail))) + tail
    file.seek(0, os.SEEK_END)
    return tail[tail.rfind(b"\n") + 1 :]


def _whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
