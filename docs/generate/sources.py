"""The classes and functions of methods/, read from their syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import methods

FOLDER = Path(methods.__file__).parent
NOT_OPERATORS = ("__init__", "registry", "catalogue", "contract", "hooks", "hook_types")


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


@dataclass(frozen=True)
class Hook:
    """A hook of `methods.hooks.Hooks`: its name, the name with its arguments if it is a method, and its description."""

    name: str
    call: str
    text: str

    @property
    def purpose(self) -> str:
        """The first sentence, as part of a sentence."""
        first = self.text.split(". ")[0].rstrip(".")
        return first[0].lower() + first[1:]


@cache
def hooks() -> tuple[Hook, ...]:
    """Return the hooks in the order of their definition. Attributes are followed by a string that describes them."""
    tree = ast.parse((FOLDER / "hooks.py").read_text(encoding="utf-8"))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Hooks")
    found = []
    for node, following in zip(body, [*body[1:], None]):
        if isinstance(node, ast.FunctionDef):
            star = [f"*{node.args.vararg.arg}"] if node.args.vararg else []
            call = f"{node.name}({', '.join([*(arg.arg for arg in node.args.args[1:]), *star])})"
            found.append(Hook(node.name, call, " ".join((ast.get_docstring(node) or "").split())))
        elif isinstance(node, ast.AnnAssign) and isinstance(following, ast.Expr):
            name = ast.unparse(node.target)
            found.append(Hook(name, name, ast.literal_eval(following.value)))
    return tuple(found)


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


def defines(node: ast.ClassDef, name: str) -> bool:
    """Return whether a class or one of its bases defines a method or a class attribute of this name."""
    for item in (item for cls in lineage(node) for item in cls.body):
        targets = [item.target] if isinstance(item, ast.AnnAssign) else item.targets if isinstance(item, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return True
    return function(node, name) is not None
