"""The journal of a run: JSON lines, appended and synced one by one, never rewritten. Everything else is computed from it.

A line is {"kind": "run" | "env" | "record", ...}. An incomplete last line, as after a crash, is moved to a `.torn` file. Any other
invalid line is an error that names its number. Raw samples are a hundred times larger and go to a separate file, which reports do
not read.
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

from bench.spec import STATUS, Job, Record, read_evaluations

JOURNAL = "journal.jsonl"
SAMPLES = "samples.jsonl"


def ceilings_key(device: str, threads: int) -> str:
    """Return the key of the peak rates of a device and number of threads in an environment."""
    return f"{device}/{threads}"


class CorruptJournal(Exception):
    """A line of a journal is invalid. The message names file and line number."""


class CannotWrite(Exception):
    """A line could not be written, for example because the disk is full. All earlier lines are complete."""


@dataclass
class Journal:
    """The content of a journal: the last record of each job, the environments and the runs that wrote it."""

    path: Path
    records: dict[str, Record] = field(default_factory=dict)
    envs: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.parent.name

    @property
    def baseline(self) -> str:
        """The baseline of operators."""
        return self.baseline_of("op")

    def baseline_of(self, level: str) -> str:
        """Return the baseline of the last run at a level: a method, or the label of a network; "none" if there is none."""
        baselines = (run["baseline"] for run in reversed(self.runs) if "baseline" in run and run.get("level", "op") == level)
        return next(baselines, "none")

    def ceilings(self, env: str, device: str, threads: int) -> dict[str, Any]:
        """Return the measured peak rates of a device in an environment; empty if there are none."""
        rates: dict[str, Any] = self.envs.get(env, {}).get("ceilings", {}).get(ceilings_key(device, threads), {})
        return rates

    def current(self) -> Iterator[Record]:
        """Yield the records whose sources equal those of the last run of their method."""
        code = {method: digest for run in self.runs for method, digest in run.get("code", {}).items()}
        return (r for r in self.records.values() if code.get(r.job.cell.method, r.job.code) == r.job.code)


def read_journal(path: Path) -> Journal:
    """Read a journal; a missing file gives an empty one. Raises `CorruptJournal`."""
    journal = Journal(path)
    if not path.exists():
        return journal
    with path.open("rb") as lines, no_garbage_collection():
        for number, line in enumerate(lines, 1):
            try:
                _take(journal, json.loads(line.decode()))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                if not line.endswith(b"\n"):
                    break  # incomplete last line: a crash during the write
                raise CorruptJournal(f"{path}: line {number} is not a journal line ({error})") from error
    return journal


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Disable the garbage collector, which would scan all records again and again and free none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
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
        shared: dict[str, Any] = {"job": Job.from_json(line["job"])} | {
            name: _interned(line[name]) for name in ("values", "rounds") if name in line
        }
        if "evals" in line:
            shared["evals"] = read_evaluations(line["evals"])
        journal.records.pop(key, None)  # keeps the dict in the order of the last records
        journal.records[key] = Record(**{**line, **shared})
    elif kind == "env":
        journal.envs[line["id"]] = {"cpu": "unknown", "gpus": [], **line}
    elif kind == "run":
        journal.runs.append({"command": line["command"], "started": float(line["started"]), **line})
    else:
        raise ValueError(f"unknown kind {kind!r}")


def _interned(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with interned names. Saves a third of the memory of a large journal."""
    return {sys.intern(name): value for name, value in values.items()}


class Writer:
    """Appends lines to a journal and syncs each to disk. Use it as a context manager."""

    def __init__(self, path: Path):
        """Open a journal for appending. Raises OSError if the folder is not writable or another run holds the journal."""
        path.parent.mkdir(parents=True, exist_ok=True)
        # unbuffered: a failed line must not reach the disk later
        self.file, self.samples = (file.open("ab", buffering=0) for file in (path, path.with_name(SAMPLES)))
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.__exit__()
            raise OSError(f"another run is writing to {path}") from error
        for file in (self.file, self.samples):
            _move_torn_line(Path(file.name))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.file.close()
        self.samples.close()

    def record(self, record: Record) -> None:
        """Append the samples, then the record: a record implies complete samples."""
        key = record.job.key()
        if record.samples:
            self._append(self.samples, {"key": key, "started": record.started, **record.samples})
        line = {**vars(record), "job": record.job.to_json(), "evals": [vars(one) for one in record.evals], "samples": None}
        self._append(self.file, {"kind": "record", "key": key, **line})

    def env(self, facts: dict[str, Any]) -> None:
        self._append(self.file, {"kind": "env", **facts})

    def run(self, facts: dict[str, Any]) -> None:
        self._append(self.file, {"kind": "run", **facts})

    def _append(self, file: FileIO, line: dict[str, Any]) -> None:
        """Write one line and sync it. Raises `CannotWrite` after removing a partly written line."""
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


def _move_torn_line(path: Path) -> None:
    """End a complete last line with a newline; move an incomplete one to a `.torn` file."""
    with path.open("r+b") as file:
        torn = _last_line(file)
        if not torn:
            return
        if _is_complete(torn):
            file.write(b"\n")
            return
        with path.with_suffix(".torn").open("ab") as torn_lines:
            torn_lines.write(torn + b"\n")
        file.seek(-len(torn), os.SEEK_END)
        file.truncate()


def _last_line(file: BinaryIO) -> bytes:
    """Return the bytes after the last newline, read from the end: a samples file may exceed the memory."""
    size, block = file.seek(0, os.SEEK_END), 1 << 16
    tail = b""
    while len(tail) < size and b"\n" not in tail:
        file.seek(max(size - len(tail) - block, 0))
        tail = file.read(min(block, size - len(tail))) + tail
    file.seek(0, os.SEEK_END)
    return tail[tail.rfind(b"\n") + 1 :]


def _is_complete(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def runs_in(folder: Path) -> list[Path]:
    """Return the folder itself if it is a run, else the runs in it."""
    return [folder] if (folder / JOURNAL).exists() else [path.parent for path in sorted(folder.glob(f"*/{JOURNAL}"))]


def read_run(folder: Path) -> Journal:
    """Read the journal of a run, and those of the runs next to it, which share its leaderboard. Raises `CorruptJournal`."""
    for sibling in folder.parent.glob(f"*/{JOURNAL}"):
        if sibling.parent != folder:
            read_journal(sibling)
    return read_journal(folder / JOURNAL)


def path_in(run: Path) -> Path:
    """Return the journal of a run, given its folder or its journal. Raises ValueError if there is none."""
    path = run / JOURNAL if run.is_dir() else run
    if not path.is_file():
        if not run.is_dir():
            raise ValueError(f"no such run: {run}")
        below = ", ".join(folder.name for folder in runs_in(run))
        raise ValueError(f"no {JOURNAL} in {run}" + (f"; its folders with runs are {below}" if below else ""))
    return path
