"""The classes and functions of methods/, read from their syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import methods

FOLDER = Path(methods.__file__).parent
NOT_OPERATORS = ("__init__", "registry", "catalogue", "contract")


@dataclass(frozen=True)
class Module:
    """A file of methods/ or methods/parts/."""

    name: str
    text: str
    tree: ast.Module

    @property
    def doc(self) -> str:
        return ast.get_docstring(self.tree) or ""

    @property
    def public(self) -> list[ast.ClassDef | ast.FunctionDef]:
        nodes = [node for node in self.tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        return [node for node in nodes if not node.name.startswith("_")]

    @property
    def classes(self) -> list[ast.ClassDef]:
        return [node for node in self.tree.body if isinstance(node, ast.ClassDef)]


@cache
def operators() -> dict[str, Module]:
    """Return the files that register methods, by name."""
    return _modules(FOLDER)


@cache
def parts() -> dict[str, Module]:
    """Return the files that several methods share, by name."""
    return _modules(FOLDER / "parts")


def _modules(folder: Path) -> dict[str, Module]:
    texts = {file.stem: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.py")) if file.stem not in NOT_OPERATORS}
    return {name: Module(name, text, ast.parse(text)) for name, text in texts.items()}


def registered(node: ast.ClassDef) -> list[str]:
    """Return the names under which a class is registered."""
    calls = [call for call in reversed(node.decorator_list) if isinstance(call, ast.Call)]
    return [ast.literal_eval(call.args[0]) for call in calls if isinstance(call.func, ast.Name) and call.func.id == "register"]


def find(name: str) -> tuple[Module, ast.ClassDef]:
    """Return the file and the class of a registered name. Raises StopIteration for an unknown name."""
    return next((module, node) for module in operators().values() for node in module.classes if name in registered(node))


def lineage(node: ast.ClassDef) -> Iterator[ast.ClassDef]:
    """Yield a class and its bases within methods/, the nearest first."""
    yield node
    known = {cls.name: cls for module in (*operators().values(), *parts().values()) for cls in module.classes}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in known:
            yield from lineage(known[base.id])


def function(node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    """Return a method of a class, or of the nearest base that defines it."""
    functions = (item for cls in lineage(node) for item in cls.body if isinstance(item, ast.FunctionDef) and item.name == name)
    return next(functions, None)
