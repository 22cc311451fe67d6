"""Plugins, and digests of the sources that measured values depend on."""

from __future__ import annotations

import contextlib
import inspect
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import methods
from bench.spec import ORIGINAL, digest
from methods import Entry
from methods.registry import PLUGIN_MODULE, shipped

BENCH = Path(__file__).parents[1]
# Packages of bench that measured values depend on, in addition to the operators. Whole packages: an edit of any of their files
# measures again, rather than showing a stale value.
MEASURING = ("metrics", "counters", "timers", "workload", "system", "nets", "data", "training", "stats")


def load_plugins(paths: Iterable[str | Path]) -> dict[str, str]:
    """Import plugin files and map each method to the digest of its file. Any error of a plugin becomes an ImportError."""
    code: dict[str, str] = {}
    for path in paths:
        try:
            with contextlib.redirect_stdout(sys.stderr):  # standard output belongs to the command
                registered = methods.load_file(path)
        except (Exception, SystemExit) as error:  # a plugin may raise anything
            raise ImportError(f"plugin {path} raised {type(error).__name__}: {error}") from error
        if not registered:
            raise ImportError(f"plugin {path} registers no method")
        code |= dict.fromkeys(registered, digest(Path(path).read_text(encoding="utf-8")))
    return code


def session_code(selected: Iterable[str], plugins: Mapping[str, str], in_workers: bool) -> dict[str, str]:
    """Map each method that was registered in this process, without a file, to the digest of its class.

    Raises ValueError for a method that workers cannot import: a class of a script or notebook, or of a plugin that is not given.
    """
    known, code = {entry.name for entry in shipped()}, {}
    for name in selected:
        module = "" if name in known or name in plugins else methods.get(name).cls.__module__
        if in_workers and (module == "__main__" or module.startswith(PLUGIN_MODULE)):
            raise ValueError(
                f"method '{name}' is registered in this process only, and workers cannot import it: give the file that registers"
                " it as a plugin, or use the executor inline"
            )
        if module == "__main__":
            code[name] = _class_digest(methods.get(name).cls)
    return code


def _class_digest(cls: type) -> str:
    """Return a digest of the source of a class; without a source a digest that no other session has."""
    try:
        return digest(inspect.getsource(cls))
    except (OSError, TypeError):
        return digest([cls.__qualname__, time.time()])


def source_digests(known: Mapping[str, Entry], plugins: Mapping[str, str]) -> dict[str, str]:
    """Map each method to a digest of the sources that its values depend on: operators, `MEASURING` and the plugin's file."""
    packages = [Path(methods.__file__).parent, *(BENCH / name for name in MEASURING)]
    sources_digest = digest([path.read_text(encoding="utf-8") for package in packages for path in sources(package)])
    return {name: digest([sources_digest, plugins[name]]) if name in plugins else sources_digest for name in (*known, ORIGINAL)}


def sources(package: Path) -> list[Path]:
    """Return every Python file of a package folder, sorted. Raises ValueError if there is none, for example after a rename."""
    files = sorted(package.rglob("*.py"))
    if not files:
        raise ValueError(f"package {package} holds no sources")
    return files
