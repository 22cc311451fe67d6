"""The classes and functions of methods/, read as text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import methods

FOLDER = Path(methods.__file__).parent
REGISTRY = ("__init__", "registry", "describe")  # no operator, and no part of one


@dataclass(frozen=True)
class Module:
    """One file of methods/."""

    name: str
    text: str
    tree: ast.Module

    @property
    def doc(self) -> str:
        return ast.get_docstring(self.tree) or ""

    @property
    def public(self) -> list[ast.ClassDef | ast.FunctionDef]:
        found = [node for node in self.tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        return [node for node in found if not node.name.startswith("_")]

    @property
    def classes(self) -> list[ast.ClassDef]:
        return [node for node in self.tree.body if isinstance(node, ast.ClassDef)]


@cache
def modules() -> dict[str, Module]:
    texts = {file.stem: file.read_text(encoding="utf-8") for file in sorted(FOLDER.glob("*.py")) if file.stem not in REGISTRY}
    return {name: Module(name, text, ast.parse(text)) for name, text in texts.items()}


def parts() -> list[Module]:
    """The files that register nothing: what operators are made of."""
    return [module for module in modules().values() if not any(map(registered, module.classes))]


def registered(node: ast.ClassDef) -> list[str]:
    """The names that a class is registered by."""
    calls = [call for call in reversed(node.decorator_list) if isinstance(call, ast.Call)]
    return [ast.literal_eval(call.args[0]) for call in calls if isinstance(call.func, ast.Name) and call.func.id == "register"]


def where(name: str) -> tuple[Module, ast.ClassDef]:
    """The file and the class of a registered name; raises StopIteration for another."""
    return next((module, node) for module in modules().values() for node in module.classes if name in registered(node))


def lineage(node: ast.ClassDef) -> Iterator[ast.ClassDef]:
    """A class and those of its bases that are of methods/, the nearest first."""
    yield node
    known = {one.name: one for module in modules().values() for one in module.classes}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in known:
            yield from lineage(known[base.id])


def function(node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    """A method of a class or of the nearest of its bases that has it."""
    found = (item for one in lineage(node) for item in one.body if isinstance(item, ast.FunctionDef) and item.name == name)
    return next(found, None)
