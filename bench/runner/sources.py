"""Plugins, and digests of the sources that measured values depend on."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import bench
import methods
from bench.spec import ORIGINAL, digest
from methods import Entry

# Packages of bench that measured values depend on, in addition to the operators. Whole packages: an edit of any of their files
# measures again, rather than showing a stale value.
MEASURING = ("metrics", "counters", "timers", "workload", "system", "nets", "data", "training", "stats")


def load_plugins(paths: Iterable[str]) -> dict[str, str]:
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


def source_digests(known: Mapping[str, Entry], plugins: Mapping[str, str]) -> dict[str, str]:
    """Map each method to a digest of the sources that its values depend on: operators, `MEASURING` and the plugin's file."""
    packages = [Path(methods.__file__).parent, *(Path(bench.__file__).parent / name for name in MEASURING)]
    shipped = digest([path.read_text(encoding="utf-8") for package in packages for path in sources(package)])
    return {name: digest([shipped, plugins[name]]) if name in plugins else shipped for name in (*known, ORIGINAL)}


def sources(package: Path) -> list[Path]:
    """Return every Python file of a package folder, sorted. Raises ValueError if there is none, for example after a rename."""
    files = sorted(package.rglob("*.py"))
    if not files:
        raise ValueError(f"package {package} holds no sources")
    return files
