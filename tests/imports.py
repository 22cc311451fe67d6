"""Reads the imports of the two packages from their syntax trees, without importing anything."""

import ast
import sys
from functools import cache
from typing import NamedTuple

from tests.paths import ROOT

PACKAGES = ("bench", "methods")
FILES = sorted(str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


class Import(NamedTuple):
    """An imported module. `when` is "import" (at import time), "call" (inside a function) or "typing" (never at run time)."""

    module: str
    when: str
    line: int


class Reader(ast.NodeVisitor):
    """Collects the imports of a tree, including literal `import_module` calls."""

    def __init__(self) -> None:
        self.when = "import"
        self.found: list[Import] = []

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [Import(alias.name, self.when, node.lineno) for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, f"line {node.lineno}: a relative import"
        base = node.module or ""
        for alias in node.names:
            below = f"{base}.{alias.name}"
            self.found.append(Import(below if file_of(below) else base, self.when, node.lineno))

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in ("import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
            self.found.append(Import(str(node.args[0].value), self.when, node.lineno))
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        typing_only = "TYPE_CHECKING" in ast.unparse(node.test)
        self.inside(node.body, "typing" if typing_only else self.when)
        self.inside(node.orelse, self.when)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.inside(node.body, "call" if self.when == "import" else self.when)

    visit_AsyncFunctionDef = visit_FunctionDef

    def inside(self, body: list[ast.stmt], when: str) -> None:
        before, self.when = self.when, when
        for statement in body:
            self.visit(statement)
        self.when = before


def imports_in(source: str) -> list[Import]:
    reader = Reader()
    reader.visit(ast.parse(source))
    return reader.found


@cache
def imports_of(file: str) -> list[Import]:
    return imports_in((ROOT / file).read_text(encoding="utf-8"))


def file_of(module: str) -> str | None:
    """Return the project file of a module, None for modules of others."""
    stem = module.replace(".", "/")
    return next((file for file in (f"{stem}.py", f"{stem}/__init__.py") if file in FILES), None)


def module_of(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def top(module: str) -> str:
    return module.split(".")[0]


def foreign(module: str) -> bool:
    return top(module) not in PACKAGES and top(module) not in sys.stdlib_module_names


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def reach(file: str) -> set[str]:
    """Return every module that importing `file` imports, directly or indirectly, including parent packages."""
    seen: set[str] = set()
    todo = [module_of(file)]
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen.add(module)
        if "." in module:
            todo.append(module.rpartition(".")[0])
        if own := file_of(module):
            todo += [one.module for one in imports_of(own) if one.when == "import"]
    return seen


def files_under(*places: str) -> list[str]:
    return [file for file in FILES if file.startswith(places)]
